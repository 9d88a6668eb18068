"""What is reported of a finished training: model.json, figures, history."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from dr_pipeline.models.grader import normalisation
from dr_pipeline.params.candidate import Candidate, model_family
from dr_pipeline.params.training import Training
from dr_pipeline.tables.history import EpochRow
from dr_pipeline.training.trainer import TrainedNetwork


def member_file(number: int) -> str:
    """File name of an ensemble member's weights beside model.json."""
    return f"member-{number}.safetensors"


def model_facts(
    candidate: Candidate,
    params: Training,
    networks: Sequence[TrainedNetwork],
    seeds: Sequence[int],
    teacher_seeds: Sequence[int] = (),
) -> dict[str, Any]:
    """The part of model.json from which the networks can be rebuilt.

    Args:
        candidate: Network and schedule.
        params: What all candidates share.
        networks: The ones that are kept.
        seeds: One for each of them.
        teacher_seeds: Of the networks that taught a student; empty where there is none.
    """
    norm = normalisation(candidate.model, candidate.network.channels)
    return {
        "model": candidate.model,
        "family": model_family(candidate.model),
        "parameters": networks[0].num_parameters,
        "input_px": candidate.input_px,
        "mean": norm.mean,
        "std": norm.std,
        "weights": networks[0].weights_source,
        "best_epoch": networks[0].fit.best.epoch,
        "network": candidate.network.model_dump(mode="json"),
        "loss": params.objective.loss,
        "seeds": list(seeds),
        "members": [member_file(number) for number in range(len(networks))],
        **({"teacher_seeds": list(teacher_seeds)} if teacher_seeds else {}),
    }


def training_figures(candidate: Candidate, networks: Sequence[TrainedNetwork], seeds: Sequence[int]) -> dict[str, Any]:
    """The entry of the training's report.

    Of several networks: the mean of their validation QWK, the best epoch of the first, the sum of seconds and epochs.
    `images_per_s` is the median over all epochs, as in experiments, so that outliers have no effect.
    """
    first, histories = networks[0], [network.fit.history for network in networks]
    return {
        "model": candidate.model,
        "parameters": first.num_parameters,
        "weights": first.weights_source,
        "epochs": sum(map(len, histories)),
        "best_epoch": first.fit.best.epoch,
        "validation_qwk": round(sum(network.fit.best.validation_qwk for network in networks) / len(networks), 6),
        "seconds": round(sum(row.seconds for history in histories for row in history), 1),
        "images_per_s": round(median(row.images_per_s for history in histories for row in history), 1),
        "device": first.device,
        "stopped_early": any(len(history) < candidate.epochs for history in histories),
        "members": [
            {
                "seed": seed,
                "epochs": len(network.fit.history),
                "best_epoch": network.fit.best.epoch,
                "validation_qwk": network.fit.best.validation_qwk,
            }
            for seed, network in zip(seeds, networks, strict=True)
        ],
    }


def history_row(row: EpochRow, candidate: Candidate, number: int) -> EpochRow:
    """A row of the candidate's history: epochs are counted over all networks, `number` being this one's."""
    return replace(row, epoch=number * candidate.epochs + row.epoch)


def minutes_left(history: Sequence[EpochRow], candidate: Candidate, number: int, num_networks: int) -> float:
    """Minutes until a candidate's training ends, at the mean speed of the current network.

    Args:
        history: The epochs that the current network has finished; at least one.
        candidate: How many epochs a network has.
        number: Of the current network, from 0.
        num_networks: How many there are, a student among them.
    """
    epochs_left = (num_networks - number) * candidate.epochs - len(history)
    return sum(row.seconds for row in history) / len(history) * epochs_left / 60
