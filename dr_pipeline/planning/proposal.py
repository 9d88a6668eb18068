"""From the inputs to a proposal: candidates, values that all share, and the reason of each. Nothing is read here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.planning import rules
from dr_pipeline.planning.candidate_plan import CandidatePlan, LeftOut, as_candidate, ensemble_views, plan_candidates
from dr_pipeline.planning.plan_inputs import PlanInputs
from dr_pipeline.planning.rules import Reason
from dr_pipeline.planning.time_budget import PartSizes, minutes, total_minutes, within_budget

_USER = "the present params.yaml, or an option"


@dataclass(frozen=True)
class Proposal:
    """What to change in params.yaml.

    Attributes:
        values: By dotted key, everything but the candidates.
        candidates: The whole section.
        reasons: Of every value, in the order of params.yaml.
        left_out: Networks that are not proposed.
        training_photographs: Of the first fold.
        minutes: All trainings on this machine, an estimate unless measured; None where it is not known.
    """

    values: Mapping[str, Any]
    candidates: Mapping[str, dict[str, Any]]
    reasons: tuple[Reason, ...]
    left_out: tuple[LeftOut, ...]
    training_photographs: int
    minutes: float | None


def propose(inputs: PlanInputs) -> Proposal:
    """Applies the rules.

    Raises:
        EnvironmentProblem: No network fits this machine's memory, or meets the latency budget.
    """
    parts = _part_sizes(inputs)
    plans, left_out = plan_candidates(inputs, parts.training)
    if not plans:
        raise EnvironmentProblem(
            "no network can be proposed: " + "; ".join(f"{network.name}: {network.why}" for network in left_out),
            where="planning",
            todo="raise --latency-ms, or plan on a machine with more memory",
        )
    selected, dropped = within_budget(inputs, plans, parts)
    candidates: dict[str, dict[str, Any]] = {}
    total = total_minutes(selected, parts)
    taught = _student(inputs, total)
    reasons = [*_shared_values(inputs, selected, parts), *taught]
    values = {reason.key: reason.value for reason in reasons}
    seeds = rules.STUDENT_SEEDS if taught else 1
    for plan in selected:
        candidate, own_reasons = as_candidate(plan, ensemble_views(inputs, plan), parts.training, seeds=seeds)
        candidates[plan.network.name] = candidate
        reasons += own_reasons
    return Proposal(
        values=values,
        candidates=candidates,
        reasons=tuple(reasons),
        left_out=(*left_out, *dropped),
        training_photographs=parts.training,
        minutes=total if total is None or not taught else total * (seeds + 1),
    )


def _student(inputs: PlanInputs, total: float | None) -> list[Reason]:
    """Only where a budget was named: it takes four times as long. A teacher that the user has named stays."""
    if inputs.minutes is None or total is None or inputs.params.training.distillation.teacher != "none":
        return []
    return rules.student(total, inputs.minutes)


def _part_sizes(inputs: PlanInputs) -> PartSizes:
    """The split stays as it is: with another number of folds it would have another test part."""
    validation = inputs.fingerprint.validation_photographs
    return PartSizes(inputs.fingerprint.photographs - validation, validation, len(inputs.params.folds))


def _shared_values(inputs: PlanInputs, selected: list[CandidatePlan], parts: PartSizes) -> list[Reason]:
    """Values that all candidates share."""
    fingerprint, params = inputs.fingerprint, inputs.params
    largest_px = max(plan.px.value for plan in selected)
    reasons = [rules.canvas_px(params.preprocess.canvas_px, largest_px, fingerprint.disc_px[1])]
    if params.training.balance.weights == "exponent":
        reasons.append(rules.class_weight_exponent(fingerprint.imbalance))
    steps = min(plan.epochs.value * math.ceil(parts.training / plan.batch.value) for plan in selected)
    cameras = len([name for name in fingerprint.cameras if name])
    colour = rules.colour_change(cameras, parts.training)
    artefacts = rules.camera_artefacts(cameras)
    durations = [duration for plan in selected if (duration := minutes(plan, parts)) is not None]
    on_gpu = bool(inputs.machine.gpu)
    reasons += [
        rules.ema_decay(steps),
        Reason("training.precision", "auto", _precision(inputs), "as the machine has it"),
        rules.compiled(max(durations, default=None), on_gpu=on_gpu, compiler=inputs.machine.compiler),
        *(replace(colour, key=f"training.augmentation.{name}") for name in ("brightness", "contrast", "saturation")),
        *(replace(artefacts, key=f"training.augmentation.{name}_probability") for name in ("blur", "jpeg")),
    ]
    if not any(plan.network.family in inputs.families for plan in selected):
        why = "none of the candidates is of these families: `select` will find nothing to deploy; add one by hand"
        reasons.append(Reason("deployment.families", list(inputs.families), why, _USER))
    if inputs.latency_ms != params.deployment.latency_budget_ms:
        reasons.append(Reason("deployment.latency_budget_ms", inputs.latency_ms, "--latency-ms", _USER))
    return reasons


def _precision(inputs: PlanInputs) -> str:
    return f"{inputs.machine.gpu}: bfloat16 where it has it" if inputs.machine.gpu else "a CPU computes in 32 bit"
