"""How fast this machine scores: files per second, the share of each step, and the share of what its cores could do.

The ideal is what remains if nothing but the work took time: the pixel path alone and the network alone, each with all
cores full, one after the other. On a GPU the network works beside the cores, in batches: the slower of the two counts.
A whole run adds its start, reading, writing, and cores that wait for each other.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from dr_pipeline.bundle.session import Device
from dr_pipeline.errors import DataError, ImageError
from dr_pipeline.fundus.decode import read_image_file
from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.processes import keep_freed_memory
from dr_pipeline.scoring.batched import BATCH
from dr_pipeline.scoring.scorer import Scorer

_PER_TASK = 4  # files, so that handing them out costs nothing
_BATCHES_TIMED = 10


@dataclass(frozen=True)
class Throughput:
    """The figures of one run.

    Attributes:
        files: Files scored by the whole run.
        photographs: Files among them that the steps were measured on.
        workers: Processes, one per usable core.
        whole_s: Wall time of the whole run, the start of the program included.
        pixel_path_s: Wall time of one photograph's pixel path with all cores full: the time for all over their number.
        network_s: As `pixel_path_s`, of the network; on a GPU in batches.
        steps_ms: Median processing time of each step of one photograph on one core, in the order of the work.
        device: Where the network ran.
    """

    files: int
    photographs: int
    workers: int
    whole_s: float
    pixel_path_s: float
    network_s: float
    steps_ms: dict[str, float]
    device: Device = Device.CPU

    @property
    def files_per_s(self) -> float:
        """Of the whole run."""
        return self.files / self.whole_s

    @property
    def ideal_per_s(self) -> float:
        """Of pixel path and network alone."""
        both = (self.pixel_path_s, self.network_s)
        return 1 / (sum(both) if self.device is Device.CPU else max(both))

    def cost_per_1000(self, price_per_hour: float) -> float:
        """Cost of 1,000 files on a machine of that price."""
        return 1000 / self.files_per_s / 3600 * price_per_hour


def measure_throughput(
    bundle: Path, folder: Path, files: Sequence[Path], *, limit: int, workers: int, device: Device = Device.CPU
) -> Throughput:
    """Scores a folder as a user does, then measures the steps on some of its photographs.

    Args:
        bundle: The bundle's folder.
        folder: The photographs.
        files: All files of `folder`.
        limit: Photographs for the steps, taken at even distances.
        workers: Processes for the ideal.
        device: Where the network runs.

    Raises:
        DataError: No file is a photograph, or the run fails.
        BundleError: The bundle fails its checks.
        EnvironmentProblem: There is no such device.
    """
    _load(bundle)
    on_device = None if device is Device.CPU else Scorer.from_bundle(bundle, threads=1, device=device)
    photographs = [path for path in files[:: max(1, len(files) // limit)] if _is_photograph(path)]
    if not photographs:
        raise DataError("no photograph that can be decoded", where=str(folder), todo="name a folder of photographs")
    whole_s = _whole_run_s(bundle, folder, device)
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_load, initargs=(bundle,)) as pool:
        list(pool.map(_process, photographs[: 2 * workers]))  # the start of the processes is not counted
        pixel_path_s = _wall_s(lambda: list(pool.map(_process, photographs, chunksize=_PER_TASK)))
        if on_device is None:
            network_s = _wall_s(lambda: list(pool.map(_run_network, photographs, chunksize=_PER_TASK)))
    count = len(photographs)
    per_network_s = network_s / count if on_device is None else _batched_network_s(on_device)
    steps_ms = _steps_ms(photographs)
    if on_device is not None:
        del steps_ms["network"]
    return Throughput(len(files), count, workers, whole_s, pixel_path_s / count, per_network_s, steps_ms, device)


_scorer: Scorer  # of this process


def _load(bundle: Path) -> None:
    global _scorer
    keep_freed_memory()
    _scorer = Scorer.from_bundle(bundle, threads=1)


def _is_photograph(path: Path) -> bool:
    try:
        _process(path)
    except ImageError:
        return False
    return True


def _process(path: Path) -> None:
    canvas = _scorer.pixel_path.process(read_image_file(path), find_text=False).canvas
    model_input(canvas, _scorer.input_px)


def _run_network(_path: Path) -> None:
    _scorer.logits(np.zeros((1, _scorer.input_px, _scorer.input_px, 3), np.uint8))


def _batched_network_s(scorer: Scorer) -> float:
    """Seconds per photograph of the network alone, in the batches of a run; what the pictures show does not count."""
    inputs = np.zeros((BATCH, scorer.input_px, scorer.input_px, 3), np.uint8)
    scorer.logits(inputs)  # the start of the device is not counted
    return float(np.median([_wall_s(lambda: scorer.logits(inputs)) for _ in range(_BATCHES_TIMED)])) / BATCH


def _steps_ms(photographs: Sequence[Path]) -> dict[str, float]:
    laps: dict[str, list[float]] = {}
    for path in photographs:
        started_ns = time.process_time_ns()

        def lap(step: str) -> None:
            nonlocal started_ns
            now_ns = time.process_time_ns()
            laps.setdefault(step, []).append((now_ns - started_ns) / 1e6)
            started_ns = now_ns

        data = read_image_file(path)
        lap("read")
        canvas = _scorer.pixel_path.process(data, find_text=False, lap=lap).canvas
        inputs = model_input(canvas, _scorer.input_px)[np.newaxis]
        lap("input")
        _scorer.logits(inputs)
        lap("network")
    return {step: float(np.median(values)) for step, values in laps.items()}


def _whole_run_s(bundle: Path, folder: Path, device: Device) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "predictions.csv"
        command = [sys.executable, "-m", "dr_pipeline", "score", folder, "--bundle", bundle, "--out", out]
        command += ["--device", device]
        started_s = time.monotonic()
        finished = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if finished.returncode != 0:
            raise DataError(f"the run failed: {finished.stderr.strip()[-500:]}", where=str(folder))
        return time.monotonic() - started_s


def _wall_s(work: Callable[[], object]) -> float:
    started_s = time.monotonic()
    work()
    return time.monotonic() - started_s
