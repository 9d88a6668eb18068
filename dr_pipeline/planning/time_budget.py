"""Fits the trainings into a time budget: fewer candidates first, then fewer epochs, then a smaller input.

Two candidates with half of their epochs are preferred to one with all; below that, one alone is proposed: with twelve
epochs at the largest side that they fit at, since twelve at 224 px were as good as thirty at 288 (QWK 0.850 and 0.850,
IDRiD, n = 409: reports/experiments/ladder.csv and recipes.csv); only then with fewer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dr_pipeline.planning import rules
from dr_pipeline.planning.candidate_plan import CandidatePlan, LeftOut, plan_at_side
from dr_pipeline.planning.plan_inputs import PlanInputs

_MIN_EPOCHS_FRACTION = 0.5  # of several candidates
_FEWEST_EPOCHS = (12, 5)  # of one alone: 12 at any side, else 5
_STRIDE = 32
_VALIDATION_PASS = 1 / 3  # forward only


@dataclass(frozen=True)
class PartSizes:
    """Photographs of a training's parts."""

    training: int
    validation: int
    folds: int  # number of folds that are trained


def minutes(plan: CandidatePlan, parts: PartSizes) -> float | None:
    """Of one candidate's trainings on all folds; None where the time of a step is not known."""
    if plan.seconds is None:
        return None
    photographs = parts.training + _VALIDATION_PASS * parts.validation
    return int(plan.epochs.value) * photographs * plan.seconds * parts.folds / 60


def total_minutes(plans: Sequence[CandidatePlan], parts: PartSizes) -> float | None:
    """Of all candidates."""
    total = 0.0
    for plan in plans:
        if (own := minutes(plan, parts)) is None:
            return None
        total += own
    return total


def within_budget(
    inputs: PlanInputs, plans: Sequence[CandidatePlan], parts: PartSizes
) -> tuple[list[CandidatePlan], list[LeftOut]]:
    """The first candidates that fit, with fewer epochs where necessary; all of them without a budget.

    Where not even the smallest training fits, it is proposed nevertheless, and its reason states this.
    """
    total = total_minutes(plans, parts)
    if inputs.minutes is None or total is None or total <= inputs.minutes:
        return list(plans), []
    for count in range(len(plans), 1, -1):
        fraction = inputs.minutes / _known(total_minutes(plans[:count], parts))
        if fraction >= _MIN_EPOCHS_FRACTION:
            shortened = [_shortened(plan, min(fraction, 1.0)) for plan in plans[:count]]
            return shortened, _dropped(plans[count:], inputs.minutes)
    return [_alone(inputs, plans[0], parts, inputs.minutes)], _dropped(plans[1:], inputs.minutes)


def _alone(inputs: PlanInputs, plan: CandidatePlan, parts: PartSizes, budget: float) -> CandidatePlan:
    """The first candidate at the largest side at which its fewest epochs fit."""
    network = plan.network
    smaller = plan
    for fewest in _FEWEST_EPOCHS:
        for side in range(plan.px.value, (network.own_px or rules.SMALLEST_PX) - 1, -_STRIDE):
            whole = side == plan.px.value
            px = plan.px if whole else replace(plan.px, value=side, why=f"{plan.px.why}; less for the time")
            at_side = plan_at_side(inputs, network, plan.weights, px, parts.training)
            smaller = at_side if isinstance(at_side, CandidatePlan) else smaller
            fraction = budget / _known(minutes(smaller, parts))
            if fraction * smaller.epochs.value >= min(fewest, smaller.epochs.value):
                return _shortened(smaller, min(fraction, 1.0))
    fewest = min(_FEWEST_EPOCHS[-1], smaller.epochs.value)
    why = f"the fewest that train; it takes longer than the {budget:g} min"
    return replace(smaller, epochs=replace(smaller.epochs, value=fewest, why=why, source="rule of thumb"))


def _shortened(plan: CandidatePlan, fraction: float) -> CandidatePlan:
    epochs = plan.epochs
    count = max(1, math.floor(fraction * epochs.value))
    if count == epochs.value:
        return plan
    return replace(plan, epochs=replace(epochs, value=count, why=f"{epochs.why}; fewer for the time"))


def _dropped(plans: Sequence[CandidatePlan], budget: float) -> list[LeftOut]:
    return [LeftOut(plan.network.name, f"does not fit into {budget:g} min beside the lighter ones") for plan in plans]


def _known(number: float | None) -> float:
    if number is None:
        raise ValueError("the time of a step is not known")
    return number
