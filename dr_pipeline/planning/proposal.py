"""From a fingerprint to a proposal: candidates, values that all share, and the reason of each. Nothing is read here."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.planning import rules
from dr_pipeline.planning.candidate_plan import Draft, LeftOut, as_candidate, drafts, views
from dr_pipeline.planning.inputs import Asked
from dr_pipeline.planning.rules import Reason
from dr_pipeline.planning.time_budget import Parts, minutes, total_minutes, within_budget

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
        minutes: All trainings on this machine, an estimate unless measured; None where nobody knows.
    """

    values: Mapping[str, Any]
    candidates: Mapping[str, dict[str, Any]]
    reasons: tuple[Reason, ...]
    left_out: tuple[LeftOut, ...]
    training_photographs: int
    minutes: float | None

    def document(self, present: Mapping[str, Any]) -> dict[str, Any]:
        """The present parameters with the proposal in them."""
        document = copy.deepcopy(dict(present))
        for key, value in self.values.items():
            *path, last = key.split(".")
            section = document
            for name in path:
                section = section[name]
            section[last] = value
        document["candidates"] = copy.deepcopy(dict(self.candidates))
        return document


def propose(asked: Asked) -> Proposal:
    """Applies the rules.

    Raises:
        EnvironmentProblem: No network fits this machine's memory, or keeps the latency budget.
    """
    parts = _parts(asked)
    possible, left_out = drafts(asked, parts.training)
    if not possible:
        raise EnvironmentProblem(
            "no network can be proposed: " + "; ".join(f"{one.name}: {one.why}" for one in left_out),
            where="planning",
            todo="raise --latency-ms, or plan on a machine with more memory",
        )
    kept, dropped = within_budget(asked, possible, parts)
    candidates: dict[str, dict[str, Any]] = {}
    reasons = _shared(asked, kept, parts)
    values = {reason.key: reason.value for reason in reasons}
    for drafted in kept:
        candidates[drafted.network.name], told = as_candidate(drafted, views(asked, drafted))
        reasons += told
    return Proposal(
        values=values,
        candidates=candidates,
        reasons=tuple(reasons),
        left_out=(*left_out, *dropped),
        training_photographs=parts.training,
        minutes=total_minutes(kept, parts),
    )


def _parts(asked: Asked) -> Parts:
    """What a training sees. The split stays as it is: with another number of folds it would draw another test part."""
    validation = asked.fingerprint.validation_photographs
    return Parts(asked.fingerprint.photographs - validation, validation, len(asked.present["folds"]))


def _shared(asked: Asked, kept: list[Draft], parts: Parts) -> list[Reason]:
    """Values that all candidates share."""
    fingerprint, present = asked.fingerprint, asked.present
    disc_px = fingerprint.disc_px[1]
    reasons = [rules.canvas_px(present["preprocess"]["canvas_px"], max(one.px.value for one in kept), disc_px)]
    if present["training"]["balance"]["weights"] == "exponent":
        reasons.append(rules.class_weight_exponent(fingerprint.imbalance))
    steps = min(one.epochs.value * math.ceil(parts.training / one.batch.value) for one in kept)
    cameras = len([name for name in fingerprint.cameras if name])
    colour = rules.colour_change(cameras, parts.training)
    artefacts = rules.camera_artefacts(cameras)
    longest = [one for one in (minutes(drafted, parts) for drafted in kept) if one is not None]
    on_gpu = bool(asked.machine.gpu)
    reasons += [
        rules.ema_decay(steps),
        Reason("training.precision", "auto", _precision(asked), "as the machine has it"),
        rules.compiled(max(longest, default=None), on_gpu=on_gpu, compiler=asked.machine.compiler),
        *(replace(colour, key=f"training.augmentation.{name}") for name in ("brightness", "contrast", "saturation")),
        *(replace(artefacts, key=f"training.augmentation.{name}_probability") for name in ("blur", "jpeg")),
    ]
    if not any(one.network.family in asked.families for one in kept):
        why = "none of the candidates is of these families: `select` will find nothing to deploy; add one by hand"
        reasons.append(Reason("deployment.families", list(asked.families), why, _USER))
    if asked.latency_ms != present["deployment"]["latency_budget_ms"]:
        reasons.append(Reason("deployment.latency_budget_ms", asked.latency_ms, "--latency-ms", _USER))
    return reasons


def _precision(asked: Asked) -> str:
    return f"{asked.machine.gpu}: bfloat16 where it has it" if asked.machine.gpu else "a CPU computes in 32 bit"
