"""What a proposal is made from: the data, the machine, the present parameters, and the user's limits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dr_pipeline.files import read_json
from dr_pipeline.models.inspect.complexity import Complexity
from dr_pipeline.planning.fingerprint import Fingerprint
from dr_pipeline.planning.machine import Machine

# Where first weights come from: as the present candidates have them, timm's own for every network, or none.
WeightsChoice = Literal["present", "timm", "none"]
# A fifth of the latency budget is kept for what an estimate misses: rule of thumb.
_BUDGET_SHARE = 0.8
_ALONE = {"members": [0], "views": ["identity"]}


@dataclass(frozen=True)
class MeasuredLatency:
    """What the stage `latency` has measured on a candidate, as a yardstick for others.

    Attributes:
        candidate: The slowest by multiply-accumulate.
        other_ms: The 95th percentile without the median of the network: reading, pixel path, and what varies.
        ms_per_gmac: Of the network run once, for 10⁹ multiply-accumulates.
    """

    candidate: str
    other_ms: float
    ms_per_gmac: float

    def p95_ms(self, cost: Complexity, copies: int = 1) -> float:
        """An estimate for a network that runs `copies` times."""
        return self.other_ms + copies * self.ms_per_gmac * cost.total_macs / 1e9


@dataclass(frozen=True)
class Asked:
    """All that `propose` reads.

    Attributes:
        fingerprint: Of the data.
        machine: That trains.
        present: The present params.yaml as plain values, checked.
        weights: Where first weights come from.
        minutes: For all trainings together; None is no limit.
        latency_ms: The budget that a deployable candidate keeps.
        latency: None where nothing has been measured.
        cost: What a network costs at a side.
        seconds: To train on one photograph once, by model, side and cost; None where nobody knows.
    """

    fingerprint: Fingerprint
    machine: Machine
    present: Mapping[str, Any]
    weights: WeightsChoice
    minutes: float | None
    latency_ms: float
    latency: MeasuredLatency | None
    cost: Callable[[str, int], Complexity]
    seconds: Callable[[str, int, Complexity], float] | None

    @property
    def families(self) -> tuple[str, ...]:
        """That may be deployed."""
        return tuple(self.present["deployment"]["families"])

    @property
    def usable_latency_ms(self) -> float:
        """What an estimate may take up."""
        return _BUDGET_SHARE * self.latency_ms

    def first_weights(self, model: str) -> str:
        """What `weights` of a candidate on `model` is to be."""
        if self.weights != "present":
            return self.weights
        present = self.present["candidates"].values()
        own = [candidate["weights"] for candidate in present if candidate["model"] == model]
        if own:
            return str(own[0])
        return "timm" if any(candidate["weights"] == "timm" for candidate in present) else "none"


def read_latency(selection: Path, folder: Path, cost: Callable[[str, int], Complexity]) -> MeasuredLatency | None:
    """The yardstick from reports/selection.json and reports/latency; None where the stages have not run.

    Raises:
        DataError: A candidate of the selection has no latency file.
        ParamsError: timm no longer knows a candidate's model.
    """
    if not selection.is_file():
        return None
    yardsticks = []
    for line in read_json(selection)["candidates"]:
        name = line["candidate"]
        network_ms = read_json(folder / f"{name}.json")["latency"][name]["steps_ms"]["network"]
        ensemble = line.get("ensemble", _ALONE)  # reports of before ensembles have none
        copies = len(ensemble["members"]) * len(ensemble["views"])
        gmacs = copies * cost(line["model"], line["input_px"]).total_macs / 1e9
        yardsticks.append(MeasuredLatency(name, max(0.0, line["p95_ms"] - network_ms), network_ms / gmacs))
    return max(yardsticks, key=lambda yardstick: yardstick.ms_per_gmac)
