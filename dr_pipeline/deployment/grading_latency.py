"""Measures the time of one grading, from the file on disk to the grade, and of its steps."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from dr_pipeline.errors import DataError
from dr_pipeline.schema import Status
from dr_pipeline.scoring.scorer import Scorer

Lap = Callable[[str], None]
Grade = Callable[[Path, Lap], None]


@dataclass(frozen=True)
class Latency:
    """Attributes:
    n: Measured gradings, one photograph each (batch 1).
    photographs: Distinct photographs among them.
    p50_ms: Of n whole gradings; percentiles are values that occurred, the higher one where they lie between two.
    p95_ms: As p50_ms.
    p99_ms: As p50_ms.
    steps_ms: Median of each step, in the order of the work.
    """

    n: int
    photographs: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    steps_ms: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, rounded to a microsecond."""
        return {
            "n": self.n,
            "photographs": self.photographs,
            "batch": 1,
            **{key: round(getattr(self, key), 3) for key in ("p50_ms", "p95_ms", "p99_ms")},
            "steps_ms": {step: round(value, 3) for step, value in self.steps_ms.items()},
        }


class _Stopwatch:
    def __init__(self) -> None:
        self.laps_ms: dict[str, float] = {}
        self._last_ns = time.perf_counter_ns()

    def lap(self, step: str) -> None:
        now_ns = time.perf_counter_ns()
        self.laps_ms[step] = self.laps_ms.get(step, 0.0) + (now_ns - self._last_ns) / 1e6
        self._last_ns = now_ns


def candidate_latency(scorer: Scorer, photographs: Sequence[Path], *, warmup: int, count: int) -> Latency:
    """Measures `Scorer.score` on files, batch 1: the calls that `dr-pipeline score` makes.

    Raises:
        DataError: A photograph cannot be read or is no fundus, so that its time would not be that of a grading.
    """

    def grade(path: Path, lap: Lap) -> None:
        data = path.read_bytes()
        lap("read")
        score = scorer.score(data, lap=lap)
        if score.status in (Status.FAILED, Status.NOT_FUNDUS):
            raise DataError(f"a validation photograph is {score.status}: {score.reason}", where=str(path))

    return measure(grade, photographs, warmup=warmup, count=count)


def measure(grade: Grade, photographs: Sequence[Path], *, warmup: int, count: int) -> Latency:
    """Grades photographs one after the other and measures each grading.

    The files are read from disk each time; after the warm-up the operating system may hold them in memory.

    Args:
        grade: Grades one file, and calls its second argument with a step's name when that step has ended; the last
            step must end with the work.
        photographs: Files, not empty; repeated from the first where there are fewer than `count`.
        warmup: Gradings before the first measured one.
        count: Measured gradings.
    """
    for path in islice(cycle(photographs), warmup):
        grade(path, _Stopwatch().lap)
    timed = []
    for path in islice(cycle(photographs), count):
        watch = _Stopwatch()
        grade(path, watch.lap)
        timed.append(watch.laps_ms)
    totals = [sum(laps.values()) for laps in timed]
    p50, p95, p99 = (float(value) for value in np.percentile(totals, [50, 95, 99], method="higher"))
    steps = {step: float(np.median([laps.get(step, 0.0) for laps in timed])) for step in timed[0]}
    return Latency(count, min(count, len(photographs)), p50, p95, p99, steps)
