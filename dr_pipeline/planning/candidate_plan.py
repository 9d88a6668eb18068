"""The plan of one candidate, and the rules that decide on it alone."""

import math
from dataclasses import dataclass, replace
from typing import Any

from dr_pipeline.models.inspect.complexity import Complexity
from dr_pipeline.planning import rules
from dr_pipeline.planning.networks import NETWORKS, Network
from dr_pipeline.planning.plan_inputs import PlanInputs
from dr_pipeline.planning.rules import Reason, Start

_STRIDE = 32
_VIEWS = ("identity", "mirror")
_USABLE_MEMORY = 0.7  # measured use was 0.9 to 1.25 of `Complexity.training_bytes`
_CHECKPOINTED = 0.5  # of the activations: 0.06 to 0.36 was measured to stay; a block that is computed again adds to it
_MIN_STEADY_PART = 8  # photographs that give BatchNorm steady statistics


@dataclass(frozen=True)
class MemoryFit:
    """How a batch fits into memory."""

    accumulation: int
    gradient_checkpointing: bool
    bytes_needed: float


@dataclass(frozen=True)
class CandidatePlan:
    """A network with its input, initial weights and schedule.

    Attributes:
        network: The network.
        weights: As `weights` in params.yaml.
        px: Side of the input, with its reason.
        batch: Photographs of a step, with its reason.
        epochs: With its reason.
        cost: Complexity at this side.
        fit: How the batch fits into memory.
        seconds: To train on one photograph once; None where it is not known.
    """

    network: Network
    weights: str
    px: Reason
    batch: Reason
    epochs: Reason
    cost: Complexity
    fit: MemoryFit
    seconds: float | None

    @property
    def pretrained(self) -> bool:
        """Whether it starts from weights."""
        return self.weights != "none"

    @property
    def start(self) -> Start:
        """The kind of weights it starts from."""
        return rules.start_of(self.weights)


@dataclass(frozen=True)
class LeftOut:
    """A network that is not proposed, and why."""

    name: str
    why: str


def plan_candidates(inputs: PlanInputs, training: int) -> tuple[list[CandidatePlan], list[LeftOut]]:
    """Plans every network that this machine can train on these data, at the side that suits the data.

    Args:
        inputs: The data, the machine and the limits.
        training: Photographs of the training part.
    """
    any_pretrained = any(inputs.initial_weights(network.model) != "none" for network in NETWORKS)
    plans: list[CandidatePlan] = []
    left_out: list[LeftOut] = []
    for network in NETWORKS:
        weights = inputs.initial_weights(network.model)
        if training < network.min_photographs:
            why = f"proposed from {network.min_photographs} training photographs, there are {training}: rule of thumb"
        elif weights == "none" and network.kind == "transformer":
            why = "a vision transformer learns little from random weights and few photographs (arXiv:2010.11929)"
        elif weights == "none" and any_pretrained:
            why = "it would start from random weights, others from published ones or a bundle"
        else:
            plan = _plan_candidate(inputs, network, weights, training)
            if isinstance(plan, CandidatePlan):
                plans.append(plan)
                continue
            why = plan
        left_out.append(LeftOut(network.name, why))
    return plans, left_out


def _plan_candidate(inputs: PlanInputs, network: Network, weights: str, training: int) -> CandidatePlan | str:
    """The plan, or the reason against the network."""
    px = rules.input_px(inputs.fingerprint.disc_px[1])
    if network.own_px:
        px = replace(px, value=network.own_px, why="the side that its weights are trained for", source="timm")
    affordable = _within_latency(inputs, network, px)
    if affordable is None:
        reference = inputs.latency.candidate if inputs.latency else ""
        return f"too slow for {inputs.latency_ms:g} ms by the latency measured on {reference}"
    return plan_at_side(inputs, network, weights, affordable, training)


def plan_at_side(inputs: PlanInputs, network: Network, weights: str, px: Reason, training: int) -> CandidatePlan | str:
    """The plan at this side, or the reason that it does not fit into memory."""
    cost = inputs.cost(network.model, px.value)
    batch = rules.batch_photographs(training)
    memory = inputs.machine.training_memory_gib
    fit = fit_memory(cost, batch.value, memory)
    if fit is None:
        return f"two photographs of {px.value} px do not fit into {memory:g} GiB"
    epochs = rules.epochs(training, batch.value, start=rules.start_of(weights))
    seconds = inputs.seconds(network.model, px.value, cost) if inputs.seconds else None
    return CandidatePlan(network, weights, px, batch, epochs, cost, fit, seconds)


def fit_memory(cost: Complexity, batch: int, memory_gib: float) -> MemoryFit | None:
    """The whole batch; else parts down to 8 photographs; else activations computed twice; None where nothing fits."""
    usable = _USABLE_MEMORY * memory_gib * 2**30
    for checkpointing, smallest in ((False, _MIN_STEADY_PART), (True, _MIN_STEADY_PART), (True, 2)):
        accumulation = 1
        while batch // accumulation >= min(smallest, batch):
            part = math.ceil(batch / accumulation)
            activations = cost.training_bytes(part) - cost.training_bytes(0)
            needed = cost.training_bytes(0) + activations * (_CHECKPOINTED if checkpointing else 1.0)
            if needed <= usable:
                return MemoryFit(accumulation, checkpointing, needed)
            accumulation *= 2
    return None


def _within_latency(inputs: PlanInputs, network: Network, px: Reason) -> Reason | None:
    """The side, lowered for a network that may be deployed until the estimate is within the budget."""
    if inputs.latency is None or network.family not in inputs.families:
        return px
    smallest = network.own_px or rules.SMALLEST_PX
    for side in range(px.value, smallest - 1, -_STRIDE):
        estimate = inputs.latency.p95_ms(inputs.cost(network.model, side))
        if estimate <= inputs.usable_latency_ms:
            why = f"{px.why}; about {estimate:.0f} of {inputs.latency_ms:g} ms from file to grade"
            return replace(px, value=side, why=why)
    return None


def ensemble_views(inputs: PlanInputs, plan: CandidatePlan) -> Reason:
    """The mirrored view as well, where the measured latency leaves room for the network to run twice."""
    key = "ensemble.views"
    if inputs.latency is None:
        return Reason(key, _VIEWS[:1], "no latency has been measured yet: run `dvc repro`, then plan again", "")
    if plan.network.family not in inputs.families:
        return Reason(key, _VIEWS[:1], f"{plan.network.family} is compared, not deployed", "deployment.families")
    estimate = inputs.latency.p95_ms(plan.cost, copies=len(_VIEWS))
    fits = estimate <= inputs.usable_latency_ms
    why = f"two views would take about {estimate:.0f} ms; the budget less a fifth: {inputs.usable_latency_ms:g}"
    return Reason(key, _VIEWS if fits else _VIEWS[:1], why, f"measured on {inputs.latency.candidate}: reports/latency")


def as_candidate(
    plan: CandidatePlan, views: Reason, training: int, *, seeds: int
) -> tuple[dict[str, Any], list[Reason]]:
    """The candidate as params.yaml holds it, and the reasons of its values."""
    network, batch = plan.network, plan.batch
    rate = rules.learning_rate(network.kind, batch.value, training, start=plan.start)
    decay = rules.layer_decay(network.kind, pretrained=plan.pretrained)
    fit = plan.fit
    memory = Reason(
        "memory",
        {"accumulation": fit.accumulation, "gradient_checkpointing": fit.gradient_checkpointing},
        f"a step needs about {fit.bytes_needed / 2**30:.1f} GiB",
        "counted by models.inspect.complexity",
    )
    values = {
        "model": network.model,
        "weights": plan.weights,
        "input_px": plan.px.value,
        "epochs": plan.epochs.value,
        "batch_photographs": batch.value,
        "learning_rate": rate.value,
        "drop_rate": network.drop_rate,
        "drop_path_rate": network.drop_path_rate,
        "network": {"channels": ["red", "green", "blue"], "norm": "own", "head": "linear"},
        "fine_tuning": {"layer_decay": decay.value, "frozen_epochs": 0, "thaw_epochs": 0},
        "memory": memory.value,
        "ensemble": {"seeds": seeds, "folds": False, "combine": "mean", "views": list(views.value)},
    }
    reasons = [plan.px, plan.epochs, batch, rate, decay, memory, views]
    return values, [replace(reason, key=f"candidates.{network.name}.{reason.key}") for reason in reasons]
