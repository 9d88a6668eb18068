"""Scores photographs for many callers at a time, on the worker processes that `score` uses."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Self

from dr_pipeline.engines.local import LocalEngine
from dr_pipeline.scoring.score import Score
from dr_pipeline.scoring.task import PhotographTask


class ScoringPool:
    """Worker processes, each behind a thread that waits for it; a context manager.

    Each process is an engine of its own, so that one that hangs or dies delays no other's photographs.

    Args:
        task: Set up once in each worker.
        workers: Number of processes.
        time_limit_s: Of one photograph; one that takes longer has failed.
    """

    def __init__(self, task: PhotographTask, *, workers: int, time_limit_s: float) -> None:
        self._task, self._workers, self._time_limit_s = task, workers, time_limit_s

    def __enter__(self) -> Self:
        """Starts the workers; returns when each has loaded and verified the bundle.

        Raises:
            BundleError, DataError: See `ScoringTask.scorer`.
            EnvironmentProblem: Workers do not start.
        """
        with ExitStack() as stack:
            self._idle = SimpleQueue[LocalEngine[bytes, Score]]()  # first in, first out: the start reaches every engine
            for _ in range(self._workers):
                engine = LocalEngine(self._task, workers=1, time_limit_s=self._time_limit_s)
                self._idle.put(stack.enter_context(engine))
            self._threads = stack.enter_context(ThreadPoolExecutor(self._workers, thread_name_prefix="scoring"))
            for started in [self.score(b"") for _ in range(self._workers)]:
                started.result()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def score(self, data: bytes) -> Future[Score]:
        """Scores the bytes of one file, in the order of the calls.

        The future raises what ends a run of `score`: BundleError where the bundle was changed, EnvironmentProblem where
        workers die again and again. It can be cancelled while the photograph waits.
        """
        return self._threads.submit(self._score, data)

    def _score(self, data: bytes) -> Score:
        engine = self._idle.get()
        try:
            ((_, score),) = engine.results([data])
        finally:
            self._idle.put(engine)
        return score
