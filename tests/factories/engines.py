"""A task for tests of engines, whose items name what happens to the worker."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dr_pipeline.engines.engine import Engine
from dr_pipeline.errors import BundleError

FAULTS = ("a", "hang", "b", "exit", "c", "killed", "d")
RESULTS_OF_FAULTS = [
    "A",
    "hang: not done within 1 s, the limit for one file",
    "B",
    "exit: the worker process died on it 2 times (exit code 7)",
    "C",
    "killed: the worker process died on it 2 times (SIGKILL)",
    "D",
]


@dataclass(frozen=True)
class Command:
    """Does what the item names."""

    fault: str = ""
    places: tuple[Path, ...] = ()
    modules: ClassVar[tuple[str, ...]] = ()

    def setup(self) -> Callable[[str], str]:
        if self.fault == "raise":
            raise BundleError("another bundle", where="there", todo="put it back")
        if self.fault == "die":
            os._exit(3)
        return obey

    def failed(self, item: str, reason: str) -> str:
        return f"{item}: {reason}"


def obey(item: str) -> str:
    match item:
        case "hang":
            time.sleep(60)
        case "exit":
            os._exit(7)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "pid":
            return str(os.getpid())
        case "parent":
            time.sleep(0.01)
            return str(cluster_worker())
        case "kill parent":
            os.kill(cluster_worker(), signal.SIGKILL)
            time.sleep(60)
        case _ if item.startswith("once "):  # dies, but not when it is done again
            path = Path(item.removeprefix("once "))
            if not path.exists():
                path.touch()
                os.kill(os.getpid(), signal.SIGKILL)
    return item.upper()


def cluster_worker() -> int:
    """The process that started this one."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    return parent.pid or 0


def results(engine: Engine[str, str], *items: str) -> list[str]:
    pairs = list(engine.results(items))
    assert [item for item, _ in pairs] == list(items)
    return [result for _, result in pairs]
