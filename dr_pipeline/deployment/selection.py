"""The one rule that chooses the network to deploy.

Among candidates of the deployable families (`deployment.families`, default EfficientNet: Lite0, B0 or larger) whose
end-to-end p95 is within the budget and whose referable sensitivity reaches the floor, take the highest lower 95 % bound
of validation QWK; those whose paired interval against it includes zero are ties, and the fastest tie wins; a p95 within
10 % of the fastest tie's, which another run may turn round, counts as equal, and of equals the highest lower bound
wins. Other families are compared and shown, not deployed. Nothing fits → non-zero exit and the nearest misses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from dr_pipeline.errors import GateError

SCHEMA_VERSION = 1
# How far a latency moves from run to run (nnU-Net publishes its benchmarks with 5–10 %): less tells no two apart.
_REPEATABILITY = 0.10
# The rule, for whoever reads the choice.
RULE = " ".join((__doc__ or "").split("\n\n", 1)[-1].split())

Figure = Mapping[str, Any]  # value, low, high, n; None where undefined


class Verdict(StrEnum):
    """What the rule says of a candidate."""

    CHOSEN = "chosen"
    TIE = "tie, not taken"
    BEHIND = "behind the leader"
    UNFIT = "not deployable"


@dataclass(frozen=True)
class Entrant:
    """What the rule knows of a candidate: figures of the validation split, and its latency.

    Attributes:
        name: The candidate.
        family: Of its network.
        qwk: Quadratic weighted kappa, with its interval.
        referable_sensitivity: At the operating point, with its interval; the rule uses the value.
        p95_ms: From file to grade.
        machine: Fingerprint of the machine that took the time.
    """

    name: str
    family: str
    qwk: Figure
    referable_sensitivity: Figure
    p95_ms: float
    machine: str


@dataclass(frozen=True)
class Limits:
    """What a deployable candidate keeps; from params.yaml, `deployment`."""

    families: tuple[str, ...]
    latency_budget_ms: float
    referable_sensitivity_floor: float

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


@dataclass(frozen=True)
class Judged:
    """One line of the comparison: the verdict, its reasons, and the QWK of the leader less this one's, if fit."""

    name: str
    verdict: Verdict
    reasons: tuple[str, ...]
    behind_leader: Figure | None


@dataclass(frozen=True)
class Selection:
    """The choice, the candidate with the highest lower bound, and a line for every candidate in the order given."""

    chosen: str
    leader: str
    lines: tuple[Judged, ...]


def select(entrants: Sequence[Entrant], limits: Limits, paired: Callable[[str, str], Figure]) -> Selection:
    """Applies the rule above.

    Args:
        entrants: All candidates.
        limits: What a deployable one keeps.
        paired: Difference of QWK, first less second candidate, on the same photographs, with its interval.

    Raises:
        GateError: The latencies are of different machines, or no candidate is deployable.
    """
    _require_one_machine(entrants)
    misses = {entrant.name: _misses(entrant, limits) for entrant in entrants}
    fit = [entrant for entrant in entrants if not misses[entrant.name]]
    if not fit:
        raise _nothing_fits(misses)
    leader = min(fit, key=lambda entrant: (-entrant.qwk["low"], entrant.p95_ms, entrant.name))
    behind = {entrant.name: paired(leader.name, entrant.name) for entrant in fit if entrant is not leader}
    ties = [entrant for entrant in fit if entrant is leader or not _is_behind(behind[entrant.name])]
    fastest_ms = min(entrant.p95_ms for entrant in ties)
    fast = [entrant for entrant in ties if entrant.p95_ms <= (1 + _REPEATABILITY) * fastest_ms]
    chosen = min(fast, key=lambda entrant: (-entrant.qwk["low"], entrant.p95_ms, entrant.name))

    def line(entrant: Entrant) -> Judged:
        name = entrant.name
        if name in behind or entrant is leader:
            verdict = Verdict.CHOSEN if entrant is chosen else Verdict.TIE if entrant in ties else Verdict.BEHIND
        else:
            verdict = Verdict.UNFIT
        return Judged(name, verdict, tuple(reason for reason, _ in misses[name]), behind.get(name))

    return Selection(chosen.name, leader.name, tuple(line(entrant) for entrant in entrants))


def _is_behind(difference: Figure) -> bool:
    """Whether leader less candidate lies wholly above zero; an undefined interval tells nobody apart.

    Wholly below zero is not behind either: on the same photographs such a candidate is the better one, and only its
    own interval is wider than the leader's.
    """
    return difference["low"] is not None and difference["low"] > 0


def _require_one_machine(entrants: Sequence[Entrant]) -> None:
    machines = {entrant.machine for entrant in entrants}
    if len(machines) > 1:
        listed = ", ".join(f"{entrant.name} on {entrant.machine}" for entrant in entrants)
        raise GateError(
            f"latencies of different machines do not compare: {listed}", where="latency", todo="dvc repro latency"
        )


def _misses(entrant: Entrant, limits: Limits) -> list[tuple[str, float]]:
    """Why a candidate is not deployable, each with how far it misses as a share of the limit."""
    misses = []
    if entrant.family not in limits.families:
        misses.append((f"family {entrant.family} is not among {', '.join(limits.families)}", 1.0))
    if not entrant.p95_ms <= limits.latency_budget_ms:
        over = entrant.p95_ms / limits.latency_budget_ms - 1
        misses.append((f"p95 {entrant.p95_ms:.1f} ms is over the budget of {limits.latency_budget_ms:g} ms", over))
    if entrant.qwk["low"] is None:
        misses.append(("validation QWK has no interval", 1.0))
    sensitivity, floor = entrant.referable_sensitivity["value"], limits.referable_sensitivity_floor
    if sensitivity is None:
        misses.append(("referable sensitivity is undefined: no referable photograph in the validation split", 1.0))
    elif not sensitivity >= floor:
        misses.append((f"referable sensitivity {sensitivity:.3f} is below {floor:g}", 1 - sensitivity / floor))
    return misses


def _nothing_fits(misses: Mapping[str, Sequence[tuple[str, float]]]) -> GateError:
    nearest = sorted(misses.items(), key=lambda item: (len(item[1]), sum(share for _, share in item[1]), item[0]))
    listed = "\n".join(f"  {name}: {'; '.join(reason for reason, _ in reasons)}" for name, reasons in nearest)
    return GateError(
        f"no candidate may be deployed; the nearest misses first:\n{listed}",
        where="params.yaml, deployment",
        todo="train a better or smaller candidate, or change the limits with the clinic",
    )
