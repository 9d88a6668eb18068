"""Makes the trainings fit a number of minutes: fewer candidates first, then fewer epochs, then a smaller input.

Two candidates with half the epochs that they want are kept before one with all; below that, one alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dr_pipeline.planning import rules
from dr_pipeline.planning.candidate_plan import Draft, LeftOut, at_side
from dr_pipeline.planning.inputs import Asked

_LEAST_EPOCHS_SHARE = 0.5  # of several candidates
_LEAST_EPOCHS = 5  # of one alone
_STRIDE = 32
_VALIDATION_PASS = 1 / 3  # forward only


@dataclass(frozen=True)
class Parts:
    """Photographs that a training sees."""

    training: int
    validation: int
    folds: int  # how many folds are trained


def minutes(drafted: Draft, parts: Parts) -> float | None:
    """Of one candidate's trainings on all folds; None where the time of a step is not known."""
    if drafted.seconds is None:
        return None
    photographs = parts.training + _VALIDATION_PASS * parts.validation
    return int(drafted.epochs.value) * photographs * drafted.seconds * parts.folds / 60


def total_minutes(drafts: Sequence[Draft], parts: Parts) -> float | None:
    """Of all candidates."""
    known = [minutes(drafted, parts) for drafted in drafts]
    return None if any(one is None for one in known) else sum(one for one in known if one is not None)


def within_budget(asked: Asked, drafts: Sequence[Draft], parts: Parts) -> tuple[list[Draft], list[LeftOut]]:
    """The first candidates that fit, their epochs shortened where they must be; all of them without a budget.

    Where not even the smallest training fits, it is proposed all the same: its reason says so.
    """
    total = total_minutes(drafts, parts)
    if asked.minutes is None or total is None or total <= asked.minutes:
        return list(drafts), []
    for count in range(len(drafts), 1, -1):
        kept = drafts[:count]
        share = asked.minutes / _known(total_minutes(kept, parts))
        if share >= _LEAST_EPOCHS_SHARE:
            return [_shortened(one, min(share, 1.0)) for one in kept], _dropped(drafts[count:], asked.minutes)
    return [_alone(asked, drafts[0], parts, asked.minutes)], _dropped(drafts[1:], asked.minutes)


def _alone(asked: Asked, drafted: Draft, parts: Parts, budget: float) -> Draft:
    """The first candidate at the largest side at which it has its least epochs in time."""
    network, wanted = drafted.network, drafted.px
    smaller = drafted
    for side in range(wanted.value, (network.own_px or rules.SMALLEST_PX) - 1, -_STRIDE):
        px = wanted if side == wanted.value else replace(wanted, value=side, why=f"{wanted.why}; smaller for the time")
        at = at_side(asked, network, drafted.weights, px, parts.training)
        smaller = at if isinstance(at, Draft) else smaller
        share = budget / _known(minutes(smaller, parts))
        if share * smaller.epochs.value >= _LEAST_EPOCHS:
            return _shortened(smaller, min(share, 1.0))
    least = min(_LEAST_EPOCHS, smaller.epochs.value)
    why = f"the least that learns; it takes longer than the {budget:g} min"
    return replace(smaller, epochs=replace(smaller.epochs, value=least, why=why, source="rule of thumb"))


def _shortened(drafted: Draft, share: float) -> Draft:
    wanted = drafted.epochs
    count = max(1, math.floor(share * wanted.value))
    if count == wanted.value:
        return drafted
    return replace(drafted, epochs=replace(wanted, value=count, why=f"{wanted.why}; fewer for the time"))


def _dropped(drafts: Sequence[Draft], budget: float) -> list[LeftOut]:
    return [LeftOut(one.network.name, f"does not fit into {budget:g} min beside the lighter ones") for one in drafts]


def _known(number: float | None) -> float:
    if number is None:
        raise ValueError("the time of a step is not known")
    return number
