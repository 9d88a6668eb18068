"""What is written of a finished training: the facts that its weights need, and its figures."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import median
from typing import Any

from dr_pipeline.models.grader import model_family, normalisation
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.training import Training
from dr_pipeline.training.loop import Epoch
from dr_pipeline.training.trainer import Member


def member_file(number: int) -> str:
    """The name of a member's weights beside model.json."""
    return f"member-{number}.safetensors"


def model_facts(
    candidate: Candidate, params: Training, members: Sequence[Member], seeds: Sequence[int]
) -> dict[str, Any]:
    """The part of model.json that says how to build the networks."""
    norm = normalisation(candidate.model, candidate.network.channels)
    return {
        "model": candidate.model,
        "family": model_family(candidate.model),
        "parameters": members[0].num_parameters,
        "input_px": candidate.input_px,
        "mean": norm.mean,
        "std": norm.std,
        "weights": members[0].weights_source,
        "best_epoch": members[0].trained.best.epoch,
        "network": candidate.network.model_dump(mode="json"),
        "loss": params.objective.loss,
        "seeds": list(seeds),
        "members": [member_file(number) for number in range(len(members))],
    }


def training_figures(candidate: Candidate, members: Sequence[Member], seeds: Sequence[int]) -> dict[str, Any]:
    """The entry of the training's report.

    Of several members: the mean of their validation QWK, the first one's best epoch, the sum of seconds and epochs.
    `images_per_s` is the median over all epochs, as in experiments: one slow or fast epoch does not move it.
    """
    first, histories = members[0], [member.trained.history for member in members]
    return {
        "model": candidate.model,
        "parameters": first.num_parameters,
        "weights": first.weights_source,
        "epochs": sum(map(len, histories)),
        "best_epoch": first.trained.best.epoch,
        "validation_qwk": round(sum(member.trained.best.validation_qwk for member in members) / len(members), 6),
        "seconds": round(sum(row.seconds for history in histories for row in history), 1),
        "images_per_s": round(median(row.images_per_s for history in histories for row in history), 1),
        "device": first.device,
        "stopped_early": any(len(history) < candidate.epochs for history in histories),
        "members": [
            {
                "seed": seed,
                "epochs": len(member.trained.history),
                "best_epoch": member.trained.best.epoch,
                "validation_qwk": member.trained.best.validation_qwk,
            }
            for seed, member in zip(seeds, members, strict=True)
        ],
    }


def history_row(row: Epoch, candidate: Candidate, number: int) -> dict[str, Any]:
    """A row of the history; the epochs of a further member are counted on from those of the one before."""
    return asdict(replace(row, epoch=number * candidate.epochs + row.epoch))


def with_minutes_left(history: Sequence[dict[str, Any]], candidate: Candidate, number: int) -> list[dict[str, Any]]:
    """A member's history with `minutes_left` in its last row: of it and all members after it, at its mean speed.

    Args:
        history: Rows of the epochs that the member has finished; one at least.
        candidate: How many epochs a member has, and how many members there are.
        number: Of the member, from 0.
    """
    epochs_left = (candidate.ensemble.seeds - number) * candidate.epochs - len(history)
    minutes = sum(row["seconds"] for row in history) / len(history) * epochs_left / 60
    return [*history[:-1], {**history[-1], "minutes_left": minutes}]
