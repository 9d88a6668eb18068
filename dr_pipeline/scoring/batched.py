"""Scoring with one network for all workers: they prepare photographs, and the network grades them in batches.

For a GPU, which is fast at batches and which many processes would share badly.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.engines.engine import Engine
from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.scoring.score import Score
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.task import PreparationTask, ScoringTask

if TYPE_CHECKING:
    from dr_pipeline.scoring.scorer import Prepared

# Photographs: EfficientNet-Lite0 to B4 gain next to nothing beyond it, and 300 px take 17 MB.
BATCH = 64


def scoring_engine(
    choice: EngineChoice, task: ScoringTask, *, device: str, time_limit_s: float
) -> Engine[Entry, Score]:
    """The engine of a scoring, not yet entered: each worker has its own network on a CPU, all share one on a GPU."""
    if device == "cpu":
        return choice.engine(task, time_limit_s=time_limit_s)
    return BatchedEngine(task, choice.engine(PreparationTask(task), time_limit_s=time_limit_s), device)


class BatchedEngine:
    """An engine of `ScoringTask` whose network runs in this process, on its device, for all workers.

    The network is loaded when the engine is entered; its self-test is the bundle's.

    Args:
        task: The bundle and its options.
        preparing: Does `PreparationTask` of the same; not yet entered.
        device: Where the network runs, such as `cuda`.
    """

    def __init__(self, task: ScoringTask, preparing: "Engine[Entry, Prepared]", device: str) -> None:
        self._task, self._preparing, self._device = task, preparing, device

    def __enter__(self) -> Self:
        self._scorer = self._task.scorer(self._device)  # first: without the device, no worker starts
        self._preparing.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._preparing.__exit__(*exception)

    def results(self, items: Iterable[Entry]) -> Iterator[tuple[Entry, Score]]:
        """Yields each entry with its score, in order; a batch holds what one call takes ahead.

        Raises:
            EnvironmentProblem: The device fails.
        """
        prepared = self._preparing.results(items)
        while batch := list(islice(prepared, BATCH)):
            yield from zip((entry for entry, _ in batch), self._scores([one for _, one in batch]), strict=True)

    def _scores(self, batch: "list[Prepared]") -> Iterator[Score]:
        inputs = [one.inputs for one in batch if one.inputs is not None]
        logits = iter(self._logits(np.stack(inputs)) if inputs else ())
        for one in batch:
            yield one.score if one.inputs is None else self._scorer.graded(one.score, next(logits)[np.newaxis])

    def _logits(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            return self._scorer.logits(inputs)
        except RuntimeError as error:  # as ONNX Runtime reports a GPU that is full or gone
            raise EnvironmentProblem(
                f"the network failed: {str(error).partition(chr(10))[0][:200]}",
                where=f"--device {self._device}",
                todo="free the device and go on with --resume",
            ) from None
