"""Which engine a run uses."""

from dataclasses import dataclass
from enum import StrEnum

from dr_pipeline.engines.engine import Engine, Item, Result, Task
from dr_pipeline.engines.in_process import InProcessEngine
from dr_pipeline.engines.local import LocalEngine
from dr_pipeline.engines.ray import RayEngine
from dr_pipeline.machine import usable_processes


class EngineName(StrEnum):
    """The engines."""

    LOCAL = "local"
    RAY = "ray"
    IN_PROCESS = "in_process"


@dataclass(frozen=True)
class EngineChoice:
    """An engine and its size; the results of a task are the same for any.

    Attributes:
        name: The engine.
        workers: Processes on this machine; None: by cores and memory.
        ray_address: The Ray cluster; None: see `RayEngine`.
    """

    name: EngineName = EngineName.LOCAL
    workers: int | None = None
    ray_address: str | None = None

    def engine(self, task: Task[Item, Result], *, time_limit_s: float) -> Engine[Item, Result]:
        """The engine for a task, not yet entered.

        Args:
            task: The work on one item.
            time_limit_s: Of one item; the engine without processes knows none.
        """
        workers = self.workers or usable_processes()
        match self.name:
            case EngineName.LOCAL:
                return LocalEngine(task, workers=workers, time_limit_s=time_limit_s)
            case EngineName.RAY:
                return RayEngine(task, address=self.ray_address, workers=workers, time_limit_s=time_limit_s)
            case EngineName.IN_PROCESS:
                return InProcessEngine(task)
