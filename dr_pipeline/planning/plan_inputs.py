"""The inputs of a plan: the data, the machine, the present parameters, measured latencies and the user's limits."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from dr_pipeline.files import read_json
from dr_pipeline.machine import usable_cores, usable_memory
from dr_pipeline.models.inspect.complexity import Complexity
from dr_pipeline.models.weights.packages import PACKAGE, known_reference
from dr_pipeline.params.root import Params
from dr_pipeline.planning.fingerprint import Fingerprint

# Where initial weights come from: as the present candidates have them, timm's own for every network, those of installed
# packages (other networks have none), or none.
WeightsChoice = Literal["present", "timm", "package", "none"]
# A fifth of the latency budget is reserved for the error of the estimate: rule of thumb.
_USABLE_LATENCY = 0.8
_ONE_NETWORK = {"members": [0], "views": ["identity"]}
_GIB = 1 << 30
_COMPILERS = ("c++", "g++", "clang++")


@dataclass(frozen=True)
class TrainingMachine:
    """What the size of a training depends on besides the data.

    Attributes:
        cores: That this process may use.
        memory_gib: Main memory, or a container's limit where that is less.
        gpu: The first GPU's name; empty where there is none.
        gpu_memory_gib: Its memory; 0 where there is none.
        compiler: Whether there is a C++ compiler, which torch.compile needs on a CPU.
    """

    cores: int
    memory_gib: float
    gpu: str
    gpu_memory_gib: float
    compiler: bool

    @property
    def training_memory_gib(self) -> float:
        """The memory that a batch must fit into."""
        return self.gpu_memory_gib if self.gpu else self.memory_gib


def this_machine() -> TrainingMachine:
    """Describes the machine that plans; it is assumed to be the one that trains."""
    on_gpu = torch.cuda.is_available()
    properties = torch.cuda.get_device_properties(0) if on_gpu else None
    return TrainingMachine(
        cores=usable_cores(),
        memory_gib=round(usable_memory() / _GIB, 1),
        gpu=properties.name if properties else "",
        gpu_memory_gib=round(properties.total_memory / _GIB, 1) if properties else 0.0,
        compiler=any(shutil.which(name) for name in _COMPILERS),
    )


@dataclass(frozen=True)
class MeasuredLatency:
    """What the stage `latency` measured on a candidate, from which the latency of other networks is estimated.

    Attributes:
        candidate: The one with most milliseconds per multiply-accumulate.
        other_ms: The 95th percentile less the median of the network: reading, pixel path, and variation.
        ms_per_gmac: Of the network run once, for 10⁹ multiply-accumulates.
    """

    candidate: str
    other_ms: float
    ms_per_gmac: float

    def p95_ms(self, cost: Complexity, copies: int = 1) -> float:
        """An estimate for a network that runs `copies` times."""
        return self.other_ms + copies * self.ms_per_gmac * cost.total_macs / 1e9


@dataclass(frozen=True)
class PlanInputs:
    """All that `propose` reads.

    Attributes:
        fingerprint: Of the data.
        machine: The machine that trains.
        params: The present parameters.
        weights: Where initial weights come from.
        minutes: Budget of all trainings together; None is no limit.
        latency_ms: Budget of a deployable candidate.
        latency: None where nothing has been measured.
        cost: Complexity of a network at an input side.
        seconds: To train on one photograph once, by model, side and complexity; None where it is not known.
    """

    fingerprint: Fingerprint
    machine: TrainingMachine
    params: Params
    weights: WeightsChoice
    minutes: float | None
    latency_ms: float
    latency: MeasuredLatency | None
    cost: Callable[[str, int], Complexity]
    seconds: Callable[[str, int, Complexity], float] | None

    @property
    def families(self) -> tuple[str, ...]:
        """Families of networks that may be deployed."""
        return self.params.deployment.families

    @property
    def usable_latency_ms(self) -> float:
        """The part of the latency budget that an estimate may use."""
        return _USABLE_LATENCY * self.latency_ms

    def initial_weights(self, model: str) -> str:
        """The value of `weights` for a candidate on `model`."""
        packaged = known_reference(model) or "none"
        if self.weights != "present":
            return packaged if self.weights == "package" else self.weights
        present = self.params.candidates.values()
        own = [candidate.weights for candidate in present if candidate.model == model]
        if own:
            return own[0]
        if any(candidate.weights == "timm" for candidate in present):
            return "timm"
        return packaged if any(candidate.weights.startswith(PACKAGE) for candidate in present) else "none"


def read_latency(selection: Path, folder: Path, cost: Callable[[str, int], Complexity]) -> MeasuredLatency | None:
    """Reads reports/selection.json and reports/latency; None where the stages have not run.

    Raises:
        DataError: A candidate of the selection has no latency file.
        ParamsError: timm no longer knows a candidate's model.
    """
    if not selection.is_file():
        return None
    measured = []
    for candidate in read_json(selection)["candidates"]:
        name = candidate["candidate"]
        if candidate.get("format", "onnx") != "onnx":
            continue  # the time of a multiplication is that of float32
        times = read_json(folder / f"{name}.json")["latency"][name]  # of this machine; the target may be another
        network_ms = times["steps_ms"]["network"]
        ensemble = candidate.get("ensemble", _ONE_NETWORK)  # reports older than ensembles have none
        networks = 1 if ensemble.get("combine") == "soup" else len(ensemble["members"])
        copies = networks * len(ensemble["views"])
        gmacs = copies * cost(candidate["model"], candidate["input_px"]).total_macs / 1e9
        measured.append(MeasuredLatency(name, max(0.0, times["p95_ms"] - network_ms), network_ms / gmacs))
    return max(measured, key=lambda latency: latency.ms_per_gmac)
