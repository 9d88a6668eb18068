"""Measures the time of one grading, from the file on disk to the grade, and of its steps."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError, ImageError
from dr_pipeline.fundus.decode import read_image_file
from dr_pipeline.machine import energy_j, peak_memory_mib, read_energy, usable_cores
from dr_pipeline.schema import Status
from dr_pipeline.scoring.scorer import Scorer

Lap = Callable[[str], None]
Grade = Callable[[Path, Lap], None]

PREPROCESS = "preprocess"
# The other steps, in the order of the work, stand for themselves; all between decoding and network is preprocessing.
_STEPS = ("read", "decode", PREPROCESS, "network", "decision")
_PERCENTILES = {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99}
_RESAMPLINGS = 1000
_BATCHES = (1, 2, 4, 8, 16, 32)
# Their time is not that of a grading.
_UNTIMED = (Status.FAILED, Status.NOT_FUNDUS)
_NOT_READABLE = "not readable"


@dataclass(frozen=True)
class Latency:
    """Attributes:
    photographs: Distinct photographs that were graded.
    totals_ms: Each whole grading, one photograph each (batch 1), shape (N,).
    laps_ms: Medians of the steps as they were named, in the order of the work.
    """

    photographs: int
    totals_ms: NDArray[np.float64]
    laps_ms: dict[str, float]

    @property
    def p50_ms(self) -> float:
        """Percentiles are values that occurred, the higher one where they lie between two."""
        return float(_percentiles(self.totals_ms)[0])

    @property
    def p95_ms(self) -> float:
        """As `p50_ms`."""
        return float(_percentiles(self.totals_ms)[1])

    @property
    def steps_ms(self) -> dict[str, float]:
        """Medians of read, decode, preprocess, network and decision; a step without a lap is left out."""
        steps: dict[str, float] = {}
        for lap, value in self.laps_ms.items():
            step = lap if lap in _STEPS else PREPROCESS
            steps[step] = steps.get(step, 0.0) + value
        return {step: steps[step] for step in _STEPS if step in steps}

    def to_dict(self) -> dict[str, Any]:
        """For JSON, rounded to a microsecond; `interval_95` are percentiles of 1,000 resamplings of the gradings."""
        n = len(self.totals_ms)
        rows = np.random.default_rng(0).integers(n, size=(_RESAMPLINGS, n))
        low, high = np.percentile(_percentiles(self.totals_ms[rows]), [2.5, 97.5], axis=1)
        values = _percentiles(self.totals_ms)
        return {
            "n": n,
            "photographs": self.photographs,
            "batch": 1,
            "mean_ms": round(fmean(self.totals_ms), 3),
            **{key: round(float(value), 3) for key, value in zip(_PERCENTILES, values, strict=True)},
            "interval_95": {
                key: {"low": round(float(low[index]), 3), "high": round(float(high[index]), 3)}
                for index, key in enumerate(_PERCENTILES)
            },
            "steps_ms": _rounded(self.steps_ms),
            "preprocess_ms": _rounded({lap: ms for lap, ms in self.laps_ms.items() if lap not in _STEPS}),
        }


class _Stopwatch:
    def __init__(self) -> None:
        self.laps_ms: dict[str, float] = {}
        self._last_ns = time.perf_counter_ns()

    def lap(self, step: str) -> None:
        now_ns = time.perf_counter_ns()
        self.laps_ms[step] = self.laps_ms.get(step, 0.0) + (now_ns - self._last_ns) / 1e6
        self._last_ns = now_ns


def sample_photographs(scorer: Scorer, files: Sequence[Path], limit: int) -> tuple[list[Path], int]:
    """At most `limit` files at even distances that can be timed, and how many of those looked at cannot.

    Raises:
        DataError: None of them is a photograph of a fundus.
    """
    looked_at = files[:: max(1, math.ceil(len(files) / limit))]
    photographs = [path for path in looked_at if _is_fundus(scorer, path)]
    if not photographs:
        raise DataError(
            f"no photograph of a fundus among {len(looked_at)} files", todo="name a folder of photographs to be scored"
        )
    return photographs, len(looked_at) - len(photographs)


def _is_fundus(scorer: Scorer, path: Path) -> bool:
    try:
        return scorer.score(read_image_file(path)).status not in _UNTIMED
    except ImageError:
        return False


def latency_figures(
    load: Callable[[int], Scorer], photographs: Sequence[Path], *, warmup: int, count: int, threads: int
) -> dict[str, Any]:
    """All figures of one network on this machine: gradings, memory, energy, batches, threads.

    Args:
        load: Loads the scorer with so many threads inside one operator of the network.
        photographs: Files of photographs, not empty.
        warmup: Gradings before the first measured one.
        count: Measured gradings; for each other number of threads a quarter of them, at least 10.
        threads: Of the figures that are not by threads.

    Returns:
        For JSON: `Latency.to_dict` and `threads`, `peak_memory_mib` (of this process, after the gradings; None where
        the system does not state it), `energy_j_per_photograph` (of the processors, all their work included, or "not
        readable"), `network_per_s` (photographs per second by batch), `best_batch`, `by_threads`.

    Raises:
        DataError: A photograph cannot be read or is no fundus.
    """
    scorer = load(threads)
    before = read_energy()
    latency = grading_latency(scorer, photographs, warmup=warmup, count=count)
    joules = energy_j(before, read_energy())
    memory = peak_memory_mib()
    by_batch = {batch: _network_per_s(scorer, batch) for batch in _BATCHES}
    by_threads = {threads: latency}
    for number in _thread_counts(usable_cores()):
        if number != threads:
            quarter = max(10, count // 4)
            by_threads[number] = grading_latency(load(number), photographs, warmup=2, count=quarter)
    return latency.to_dict() | {
        "threads": threads,
        "peak_memory_mib": None if memory is None else round(memory, 1),
        "energy_j_per_photograph": _NOT_READABLE if joules is None else round(joules / (warmup + count), 4),
        "network_per_s": {str(batch): round(rate, 1) for batch, rate in by_batch.items()},
        "best_batch": max(by_batch, key=lambda batch: by_batch[batch]),
        "by_threads": {
            str(number): {"n": len(timed.totals_ms), "p50_ms": round(timed.p50_ms, 3), "p95_ms": round(timed.p95_ms, 3)}
            for number, timed in sorted(by_threads.items())
        },
    }


def export_latency(
    export: Path,
    validation: Path,
    gradability: Path,
    photographs: Sequence[Path],
    *,
    warmup: int,
    count: int,
    threads: int,
) -> dict[str, Any]:
    """`latency_figures` of an exported candidate; a process of its own can run it, whose memory is this network's."""

    def load(number: int) -> Scorer:
        return Scorer.from_export(export, validation, gradability, threads=number)

    return latency_figures(load, photographs, warmup=warmup, count=count, threads=threads)


def grading_latency(scorer: Scorer, photographs: Sequence[Path], *, warmup: int, count: int) -> Latency:
    """Measures `Scorer.score` on files, batch 1: the calls that `dr-pipeline score` makes.

    Raises:
        DataError: A photograph cannot be read or is no fundus, so that its time would not be that of a grading.
    """

    def grade(path: Path, lap: Lap) -> None:
        data = read_image_file(path)
        lap("read")
        score = scorer.score(data, lap=lap)
        if score.status in _UNTIMED:
            raise DataError(f"a photograph to be timed is {score.status}: {score.reason}", where=str(path))

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
    laps = {lap: median(laps.get(lap, 0.0) for laps in timed) for lap in timed[0]}
    totals = np.array([sum(laps.values()) for laps in timed])
    return Latency(min(count, len(photographs)), totals, laps)


def _percentiles(totals_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Along the last axis: shape (3,), or (3, R)."""
    return np.asarray(np.percentile(totals_ms, list(_PERCENTILES.values()), axis=-1, method="higher"))


def _network_per_s(scorer: Scorer, batch: int) -> float:
    """Photographs per second of the network alone; what the pictures show does not change its time."""
    inputs = np.zeros((batch, scorer.input_px, scorer.input_px, 3), np.uint8)
    scorer.logits(inputs)
    times_s = []
    for _ in range(max(2, _BATCHES[-1] // batch)):
        started_s = time.perf_counter()
        scorer.logits(inputs)
        times_s.append(time.perf_counter() - started_s)
    return batch / median(times_s)


def _thread_counts(cores: int) -> list[int]:
    """1, 2, 4, … and all cores."""
    return sorted({1 << power for power in range(cores.bit_length())} | {cores})


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 3) for key, value in values.items()}


def latency_lines(figures: dict[str, Any]) -> list[str]:
    """The figures of `latency_figures` for a person."""
    energy, memory = figures["energy_j_per_photograph"], figures["peak_memory_mib"]
    ranges = figures["interval_95"]
    percentiles = ", ".join(
        f"{key.removesuffix('_ms')} {figures[key]:.1f} [{ranges[key]['low']:.1f}, {ranges[key]['high']:.1f}]"
        for key in _PERCENTILES
    )
    return [
        f"from file to grade, ms: {percentiles} (n = {figures['n']}, {figures['photographs']} photographs, batch 1, "
        f"{figures['threads']} thread(s); in brackets 95 % intervals)",
        "medians of the steps, ms: " + ", ".join(f"{step} {ms:.1f}" for step, ms in figures["steps_ms"].items()),
        "network, photographs/s by batch: "
        + ", ".join(f"{batch}: {rate:.1f}" for batch, rate in figures["network_per_s"].items())
        + f"; best batch {figures['best_batch']}",
        "p50 / p95 by threads, ms: "
        + ", ".join(f"{n}: {row['p50_ms']:.1f} / {row['p95_ms']:.1f}" for n, row in figures["by_threads"].items()),
        f"peak memory {'not stated' if memory is None else f'{memory:.0f} MiB'}; energy "
        + (f"{energy:.2f} J per photograph, all work of the processors" if isinstance(energy, float) else energy),
    ]


def budget_sentence(figures: dict[str, Any], budget_ms: float | None) -> str:
    """Whether the network keeps the budget here; uncertain where the interval of p95 holds it."""
    if budget_ms is None:
        return "no latency budget is stated: name one with --budget-ms"
    p95_ms, interval = figures["p95_ms"], figures["interval_95"]["p95_ms"]
    low, high = interval["low"], interval["high"]
    shown = f"p95 {p95_ms:.1f} ms, 95 % interval {low:.1f} to {high:.1f}, n = {figures['n']}"
    if low > budget_ms:
        return f"over the budget of {budget_ms:g} ms on this machine: {shown}"
    if high <= budget_ms:
        return f"keeps the budget of {budget_ms:g} ms on this machine: {shown}"
    verdict = "kept" if p95_ms <= budget_ms else "exceeded"
    return f"the budget of {budget_ms:g} ms is just {verdict} on this machine; measure again while it is idle: {shown}"
