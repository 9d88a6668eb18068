"""One candidate as it is proposed, and the rules that decide on it alone."""

from dataclasses import dataclass, replace
from typing import Any

from dr_pipeline.models.inspect.complexity import Complexity
from dr_pipeline.planning import rules
from dr_pipeline.planning.inputs import Asked
from dr_pipeline.planning.memory import Fit, fit_memory
from dr_pipeline.planning.networks import NETWORKS, Network
from dr_pipeline.planning.rules import Reason, Start

_STRIDE = 32
_VIEWS = ("identity", "mirror")


@dataclass(frozen=True)
class Draft:
    """A network with its input, first weights and schedule.

    Attributes:
        network: Which.
        weights: As `weights` in params.yaml.
        px: Side of the input, with its reason.
        batch: Photographs of a step, with its reason.
        epochs: With its reason.
        cost: At this side.
        fit: How the batch fits into memory.
        seconds: To train on one photograph once; None where nobody knows.
    """

    network: Network
    weights: str
    px: Reason
    batch: Reason
    epochs: Reason
    cost: Complexity
    fit: Fit
    seconds: float | None

    @property
    def pretrained(self) -> bool:
        """Whether it starts from weights."""
        return self.weights != "none"

    @property
    def start(self) -> Start:
        """What kind of weights it starts from."""
        return rules.start_of(self.weights)


@dataclass(frozen=True)
class LeftOut:
    """A network that is not proposed, and why."""

    name: str
    why: str


def drafts(asked: Asked, training: int) -> tuple[list[Draft], list[LeftOut]]:
    """Every network that these data and this machine can train, at the side that the data ask for.

    Args:
        asked: The data, the machine and the limits.
        training: Photographs of the training part.
    """
    any_pretrained = any(asked.first_weights(network.model) != "none" for network in NETWORKS)
    found: list[Draft] = []
    left_out: list[LeftOut] = []
    for network in NETWORKS:
        weights = asked.first_weights(network.model)
        if training < network.from_photographs:
            why = f"proposed from {network.from_photographs} training photographs, there are {training}: rule of thumb"
        elif weights == "none" and network.kind == "transformer":
            why = "a vision transformer learns little from random weights and few photographs (arXiv:2010.11929)"
        elif weights == "none" and any_pretrained:
            why = "it would start from random weights, others from published ones or a bundle"
        else:
            drafted = draft(asked, network, weights, training)
            if isinstance(drafted, Draft):
                found.append(drafted)
                continue
            why = drafted
        left_out.append(LeftOut(network.name, why))
    return found, left_out


def draft(asked: Asked, network: Network, weights: str, training: int) -> Draft | str:
    """The candidate, or the reason against it."""
    wanted = rules.input_px(asked.fingerprint.disc_px[1])
    if network.own_px:
        wanted = replace(wanted, value=network.own_px, why="the side that its weights are trained for", source="timm")
    px = _within_latency(asked, network, wanted)
    if px is None:
        return f"too slow for {asked.latency_ms:g} ms by the latency measured on {_yardstick(asked)}"
    return at_side(asked, network, weights, px, training)


def at_side(asked: Asked, network: Network, weights: str, px: Reason, training: int) -> Draft | str:
    """The candidate at this side, or that it does not fit into memory."""
    cost = asked.cost(network.model, px.value)
    batch = rules.batch_photographs(training)
    memory = asked.machine.training_memory_gib
    fit = fit_memory(cost, batch.value, memory)
    if fit is None:
        return f"two photographs of {px.value} px do not fit into {memory:g} GiB"
    epochs = rules.epochs(training, batch.value, start=rules.start_of(weights))
    seconds = asked.seconds(network.model, px.value, cost) if asked.seconds else None
    return Draft(network, weights, px, batch, epochs, cost, fit, seconds)


def _yardstick(asked: Asked) -> str:
    return asked.latency.candidate if asked.latency else ""


def _within_latency(asked: Asked, network: Network, wanted: Reason) -> Reason | None:
    """The side, made smaller for a network that may be deployed until the estimate keeps the budget."""
    if asked.latency is None or network.family not in asked.families:
        return wanted
    least = network.own_px or rules.SMALLEST_PX
    for side in range(wanted.value, least - 1, -_STRIDE):
        estimate = asked.latency.p95_ms(asked.cost(network.model, side))
        if estimate <= asked.usable_latency_ms:
            why = f"{wanted.why}; about {estimate:.0f} of {asked.latency_ms:g} ms from file to grade"
            return replace(wanted, value=side, why=why)
    return None


def views(asked: Asked, drafted: Draft) -> Reason:
    """The mirrored view as well, where the measured latency leaves room for the network to run twice."""
    key = "ensemble.views"
    if asked.latency is None:
        return Reason(key, _VIEWS[:1], "no latency has been measured yet: run `dvc repro`, then plan again", "")
    if drafted.network.family not in asked.families:
        return Reason(key, _VIEWS[:1], f"{drafted.network.family} is compared, not deployed", "deployment.families")
    estimate = asked.latency.p95_ms(drafted.cost, copies=len(_VIEWS))
    room = estimate <= asked.usable_latency_ms
    why = f"two views would take about {estimate:.0f} ms; the budget, a fifth kept back: {asked.usable_latency_ms:g}"
    return Reason(key, _VIEWS if room else _VIEWS[:1], why, f"measured on {asked.latency.candidate}: reports/latency")


def as_candidate(drafted: Draft, ensemble_views: Reason) -> tuple[dict[str, Any], list[Reason]]:
    """The candidate as params.yaml holds it, and the reasons of its values."""
    network, batch = drafted.network, drafted.batch
    rate = rules.learning_rate(network.kind, batch.value, start=drafted.start)
    decay = rules.layer_decay(network.kind, pretrained=drafted.pretrained)
    fit = drafted.fit
    memory = Reason(
        "memory",
        {"accumulation": fit.accumulation, "gradient_checkpointing": fit.gradient_checkpointing},
        f"a step keeps about {fit.bytes_needed / 2**30:.1f} GiB",
        "counted by models.complexity",
    )
    values = {
        "model": network.model,
        "weights": drafted.weights,
        "input_px": drafted.px.value,
        "epochs": drafted.epochs.value,
        "batch_photographs": batch.value,
        "learning_rate": rate.value,
        "drop_rate": network.drop_rate,
        "drop_path_rate": network.drop_path_rate,
        "network": {"channels": ["red", "green", "blue"], "norm": "own", "head": "linear"},
        "fine_tuning": {"layer_decay": decay.value, "frozen_epochs": 0, "thaw_epochs": 0},
        "memory": memory.value,
        "ensemble": {"seeds": 1, "folds": False, "combine": "mean", "views": list(ensemble_views.value)},
    }
    reasons = [drafted.px, drafted.epochs, batch, rate, decay, memory, ensemble_views]
    return values, [replace(one, key=f"candidates.{network.name}.{one.key}") for one in reasons]
