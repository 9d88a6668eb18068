"""The rule that selects the candidate to deploy; its text is RULE, which reports/selection.json quotes."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from dr_pipeline.errors import GateError, ParamsError

SCHEMA_VERSION = 4  # 2: limits of size and memory, the target, cascades; 3: formats; 4: cascades are candidates
# How far a latency moves from run to run (nnU-Net publishes its benchmarks with 5–10 %); a smaller difference is none.
_REPEATABILITY = 0.10
RULE = (
    "Among candidates of the deployable families (`deployment.families`, default EfficientNet: Lite0, B0 or larger) "
    "whose end-to-end p95 on the target is within the budget, whose network and memory are within their limits where "
    "these are set, whose referable sensitivity reaches the floor, and which in fewer bits than float32 decides as its "
    "float32 does within `deployment.format_limits` and is faster, take the highest "
    "lower 95 % bound of validation QWK; those whose paired interval against it includes zero are ties, and the "
    "fastest tie wins; a p95 within 10 % of the fastest tie's, which another run may turn round, counts as equal, and "
    "of equals the highest lower bound wins. A cascade of two networks is a candidate where it is better than both, or "
    "better than its small one and as good as its large one in less time on average; its p95 is measured, and is that "
    "of both networks where more than 5 % of the photographs meet both. Other families are compared and shown, not "
    "deployed. Nothing fits → non-zero exit and the nearest misses."
)

Figure = Mapping[str, Any]  # value, low, high, n; None where undefined


class Verdict(StrEnum):
    """The outcome of a candidate under the rule."""

    CHOSEN = "chosen"
    TIE = "tie, not taken"
    BEHIND = "behind the leader"
    UNFIT = "not deployable"


@dataclass(frozen=True)
class SelectionCandidate:
    """What the rule reads of a candidate: figures of the validation split, and its latency.

    Attributes:
        name: The candidate, with its format where that is not float32.
        family: The network's family.
        qwk: Quadratic weighted kappa, with its interval.
        referable_sensitivity: At the operating point, with its interval; the rule uses the value.
        p95_ms: Time from file to grade, milliseconds; None: it was not measured on the target.
        machine: Fingerprint of the machine it was measured on.
        megabytes: Of model.onnx, the file that scores, in millions of bytes.
        memory_mib: The most memory that a process held which graded with it; None: not measured.
        conditions: What else latencies must share to compare: number of threads, photographs.
        how_to_measure: What to do where `p95_ms` is None.
        refusals: Why its format may not take the place of float32, or a cascade that of its networks; empty: it may.
    """

    name: str
    family: str
    qwk: Figure
    referable_sensitivity: Figure
    p95_ms: float | None
    machine: str
    megabytes: float
    memory_mib: float | None
    conditions: str = ""
    how_to_measure: str = ""
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """The limits of a deployable candidate; from params.yaml, `deployment`. None: no limit.

    Raises:
        ParamsError: A budget or a limit is not above 0.
    """

    families: tuple[str, ...]
    latency_budget_ms: float
    referable_sensitivity_floor: float
    max_megabytes: float | None = None
    max_memory_mib: float | None = None

    def __post_init__(self) -> None:
        """Validates the limits: nothing fits into a budget of 0, and that would not be the candidates' fault."""
        for key in ("latency_budget_ms", "max_megabytes", "max_memory_mib"):
            value = getattr(self, key)
            if value is not None and not 0 < value < math.inf:
                raise ParamsError(f"must be above 0, found {value}", where=f"deployment.{key}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the report."""
        return asdict(self)


@dataclass(frozen=True)
class ComparisonRow:
    """One row of the comparison: the verdict, its reasons, and the leader's QWK minus this one's where deployable."""

    name: str
    verdict: Verdict
    reasons: tuple[str, ...]
    behind_leader: Figure | None


@dataclass(frozen=True)
class Selection:
    """The chosen candidate, the one with the highest lower bound, and a row per candidate in the order given."""

    chosen: str
    leader: str
    rows: tuple[ComparisonRow, ...]


def select(candidates: Sequence[SelectionCandidate], limits: Limits, paired: Callable[[str, str], Figure]) -> Selection:
    """Applies RULE.

    Args:
        candidates: All candidates.
        limits: The limits of a deployable one.
        paired: Difference of QWK, first minus second candidate, on the same photographs, with its interval.

    Raises:
        GateError: The latencies were measured on different machines, or no candidate is deployable.
    """
    _require_comparable(candidates)
    misses = {candidate.name: _misses(candidate, limits) for candidate in candidates}
    fit = [candidate for candidate in candidates if not misses[candidate.name]]
    if not fit:
        raise _nothing_fits(misses)
    leader = min(fit, key=_best_first)
    behind = {candidate.name: paired(leader.name, candidate.name) for candidate in fit if candidate is not leader}
    ties = [candidate for candidate in fit if candidate is leader or not _is_behind(behind[candidate.name])]
    fastest_ms = min(_p95_ms(candidate) for candidate in ties)
    fast = [candidate for candidate in ties if _p95_ms(candidate) <= (1 + _REPEATABILITY) * fastest_ms]
    chosen = min(fast, key=_best_first)

    def row(candidate: SelectionCandidate) -> ComparisonRow:
        name = candidate.name
        if name in behind or candidate is leader:
            verdict = Verdict.CHOSEN if candidate is chosen else Verdict.TIE if candidate in ties else Verdict.BEHIND
        else:
            verdict = Verdict.UNFIT
        return ComparisonRow(name, verdict, tuple(reason for reason, _ in misses[name]), behind.get(name))

    return Selection(chosen.name, leader.name, tuple(row(candidate) for candidate in candidates))


def _is_behind(difference: Figure) -> bool:
    """Whether leader minus candidate lies wholly above zero; an undefined interval distinguishes nothing.

    Wholly below zero is not behind: on the same photographs such a candidate is better, and only its own interval is
    wider than the leader's.
    """
    return difference["low"] is not None and difference["low"] > 0


def _p95_ms(candidate: SelectionCandidate) -> float:
    """Without a measurement, over every budget."""
    return math.inf if candidate.p95_ms is None else candidate.p95_ms


def _best_first(candidate: SelectionCandidate) -> tuple[float, float, str]:
    return -candidate.qwk["low"], _p95_ms(candidate), candidate.name


def _require_comparable(candidates: Sequence[SelectionCandidate]) -> None:
    measured = [candidate for candidate in candidates if candidate.p95_ms is not None]
    for what, key in (("machines", "machine"), ("conditions", "conditions")):
        if len({getattr(candidate, key) for candidate in measured}) > 1:
            listed = ", ".join(f"{candidate.name} on {getattr(candidate, key)}" for candidate in measured)
            raise GateError(
                f"latencies of different {what} do not compare: {listed}",
                where="latency",
                todo="measure all candidates on one machine, with the same photographs and threads: dvc repro latency, "
                "or dr-pipeline bench latency on the target",
            )


def _misses(candidate: SelectionCandidate, limits: Limits) -> list[tuple[str, float]]:
    """Why a candidate is not deployable, each with the relative distance to the limit."""
    misses = [(reason, 1.0) for reason in candidate.refusals]
    if candidate.family not in limits.families:
        misses.append((f"family {candidate.family} is not among {', '.join(limits.families)}", 1.0))
    if candidate.p95_ms is None:
        misses.append((f"not measured on the target: {candidate.how_to_measure}", 1.0))
    else:
        misses += _over(
            f"p95 {candidate.p95_ms:.1f} ms", candidate.p95_ms, limits.latency_budget_ms, "the budget", "ms"
        )
    if limits.max_megabytes is not None:
        shown = f"model.onnx with {candidate.megabytes:.1f} MB"
        misses += _over(shown, candidate.megabytes, limits.max_megabytes, "the limit", "MB")
    if limits.max_memory_mib is not None:
        if candidate.memory_mib is None:
            misses.append(("its memory was not measured: dvc repro latency", 1.0))
        else:
            shown = f"peak memory of {candidate.memory_mib:.0f} MiB"
            misses += _over(shown, candidate.memory_mib, limits.max_memory_mib, "the limit", "MiB")
    if candidate.qwk["low"] is None:
        misses.append(("validation QWK has no interval", 1.0))
    sensitivity, floor = candidate.referable_sensitivity["value"], limits.referable_sensitivity_floor
    if sensitivity is None:
        misses.append(("referable sensitivity is undefined: no referable photograph in the validation split", 1.0))
    elif not sensitivity >= floor:
        misses.append((f"referable sensitivity {sensitivity:.3f} is below {floor:g}", 1 - sensitivity / floor))
    return misses


def _over(shown: str, value: float, limit: float, what: str, unit: str) -> list[tuple[str, float]]:
    """The miss of a limit, if it is one; what is no number is over every limit."""
    return [] if value <= limit else [(f"{shown} is over {what} of {limit:g} {unit}", value / limit - 1)]


def _nothing_fits(misses: Mapping[str, Sequence[tuple[str, float]]]) -> GateError:
    nearest = sorted(misses.items(), key=lambda item: (len(item[1]), sum(distance for _, distance in item[1]), item[0]))
    listed = "\n".join(f"  {name}: {'; '.join(reason for reason, _ in reasons)}" for name, reasons in nearest)
    return GateError(
        f"no candidate may be deployed; the nearest misses first:\n{listed}",
        where="params.yaml, deployment",
        todo="train a better or smaller candidate, or change the limits with the clinic",
    )
