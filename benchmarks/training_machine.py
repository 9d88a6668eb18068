"""The machine of the training benchmarks: its kind, GPU utilisation, peak memory, figures with their spread."""

import re
import resource
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from typing import Any

from dr_pipeline.machine import describe_machine, installed_version

# Beside those that every machine description holds.
_PACKAGES = ("torch", "torchvision", "timm", "lightning-fabric", "albumentations")
_SAMPLE_MS = 200


def describe_training_machine() -> dict[str, Any]:
    """The machine's description and fingerprint, and the versions that training depends on."""
    return describe_machine() | {"training_packages": {name: installed_version(name) for name in _PACKAGES}}


def machine_kind(machine: dict[str, Any]) -> str:
    """A word for file names: the GPU's model, or the number of cores."""
    name = machine["gpus"][0] if machine["gpus"] else f"cpu {machine['usable_cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


class BusyGpu:
    """Share of the time in which a kernel ran on the first GPU, by nvidia-smi; None where there is none.

    The driver's own measure: 1.0 means that the GPU was never idle, not that all of it was used.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Samples from now on; a second call changes nothing."""
        if self._process is None and shutil.which("nvidia-smi"):
            query = ["nvidia-smi", "--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
            command = [*query, f"--loop-ms={_SAMPLE_MS}"]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def stop(self) -> float | None:
        """The mean since the start."""
        if self._process is None:
            return None
        self._process.terminate()
        samples, _ = self._process.communicate()
        return mean_utilisation(samples)


def mean_utilisation(samples: str) -> float | None:
    """The mean of percentages, one per line, as a fraction; a card without the measure gives lines without a number."""
    shares = [int(line) / 100 for line in samples.split("\n") if line.strip().isdecimal()]
    return round(statistics.fmean(shares), 3) if shares else None


def peak_memory_gib() -> dict[str, float | None]:
    """Peaks of this process so far: resident, and allocated on the first GPU."""
    import torch

    on_gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return {
        "resident": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "gpu": None if on_gpu is None else round(on_gpu / 2**30, 2),
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest, highest and all values, in the order they were measured."""
    return {
        "median": round(statistics.median(values), 3),
        "low": round(min(values), 3),
        "high": round(max(values), 3),
        "values": [round(value, 3) for value in values],
    }
