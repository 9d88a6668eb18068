"""Trains one arm on one fold and predicts the outer fold, once; or reads the cached result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.experiments.fold_results import FoldResult, read_result, result_key, write_result
from dr_pipeline.experiments.nested_folds import NestedFold
from dr_pipeline.experiments.settings import Settings
from dr_pipeline.experiments.shifted_canvases import FAMILIES, ShiftedCanvases
from dr_pipeline.files import sha256_file, sha256_json
from dr_pipeline.logs import logger
from dr_pipeline.models.ensemble import Ensemble, EnsembleGrader, Weighted, soup
from dr_pipeline.models.grader import Grader
from dr_pipeline.tables.history import EpochRow
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.data.canvas_dataset import Canvases
from dr_pipeline.training.fabric import one_device
from dr_pipeline.training.loop import FitOptions
from dr_pipeline.training.predict import evaluation_batch, predict
from dr_pipeline.training.seed_teacher import learns_from_seeds, with_teacher
from dr_pipeline.training.trainer import TrainedNetwork, TrainingData, train_network
from dr_pipeline.training.training_checks import memory_advice

_FOLDER_DIGITS = 16


@dataclass(frozen=True)
class RunContext:
    """What all trainings of an experiment share.

    Attributes:
        readings: The grades of each photograph with more than one reading; empty where there are none.
        scratch: Folder of finished and unfinished results.
        camera_shift: Strength of the cameras through which the outer folds are predicted, too; 0 for none.
        shared: Trainings (`Settings.training_values`, hashed) of several arms, which differ in what they combine: their
            checkpoints are kept for the next arm.
    """

    readings: Mapping[str, Sequence[int]]
    scratch: Path
    camera_shift: float = 0.0
    shared: frozenset[str] = frozenset()


def run_outer_fold(
    settings: Settings,
    nested: NestedFold,
    store: CanvasStore,
    context: RunContext,
    *,
    label: str,
    before_opening: Callable[[], None],
) -> FoldResult:
    """The result of one arm on one fold: cached by an earlier run with the same inputs, or trained now.

    Args:
        settings: The arm's settings.
        nested: The nested fold.
        store: The arm's canvases.
        context: What all trainings share.
        label: Prefix of the messages.
        before_opening: Called before anything of the outer fold is predicted, or a cached prediction is used.

    Raises:
        DataError: A canvas cannot be read, or a cached result is damaged.
        EnvironmentProblem: The memory or the disk is full.
        GateError: The loss is no longer finite.
        ParamsError: The candidate cannot be trained as it is.
    """
    key = _key(settings, settings.to_dict(), nested, store, context, camera_shift=context.camera_shift)
    folder = context.scratch / "folds" / key[:_FOLDER_DIGITS]
    if (cached := read_result(folder, nested.validation, nested.outer, key=key)) is not None:
        logger.info("%s: cached by an earlier run", label)
        before_opening()
        return cached
    checkpoints = network_checkpoints(settings, nested, store, context)
    members = [
        _member(settings, _data(nested, store, context), checkpoint, seed, label)
        for seed, checkpoint in zip(_seeds(settings), checkpoints, strict=True)
    ]
    if learns_from_seeds(settings.candidate, settings.training, where=f"the arm {settings.name!r}"):
        taught = with_teacher(_data(nested, store, context), [one.grader for one in members], settings.candidate)
        checkpoints.append(_student_checkpoint(folder, key))
        members = [_member(settings, taught, checkpoints[-1], settings.training.seed, f"{label}, student")]
    network = _combined(settings, [member.grader for member in members])
    validation = _predict_logits(settings, network, store, [row.image_id for row in nested.validation])
    before_opening()
    outer_ids = [row.image_id for row in nested.outer]
    outer = _predict_logits(settings, network, store, outer_ids)
    shifted = {
        family: _predict_logits(settings, network, ShiftedCanvases(store, family, context.camera_shift), outer_ids)
        for family in (FAMILIES if context.camera_shift else ())
    }
    facts = _facts(settings, nested, members) | {"canvas_index_sha256": sha256_file(store.index_path)}
    result = FoldResult(validation, outer, facts, shifted)
    write_result(folder, result, nested.validation, nested.outer, key=key)
    own = checkpoints[settings.candidate.ensemble.seeds :]
    for checkpoint in own if sha256_json(settings.training_values) in context.shared else checkpoints:
        checkpoint.remove()
    return result


def network_checkpoints(
    settings: Settings, nested: NestedFold, store: CanvasStore, context: RunContext
) -> list[Checkpoint]:
    """The checkpoint of each seed; arms that differ only in what they combine have them in common."""
    key = _key(settings, settings.training_values, nested, store, context, camera_shift=0.0)
    folder = context.scratch / "networks" / key[:_FOLDER_DIGITS]
    return [Checkpoint(folder / f"seed-{seed}", key) for seed in _seeds(settings)]


def _key(
    settings: Settings,
    values: Mapping[str, Any],
    nested: NestedFold,
    store: CanvasStore,
    context: RunContext,
    *,
    camera_shift: float,
) -> str:
    return result_key(
        settings,
        values,
        index_sha256=sha256_file(store.index_path),
        pixel_path=dict(store.pixel_path.to_dict()),
        readings=context.readings,
        digest=nested.digest,
        camera_shift=camera_shift,
    )


def _seeds(settings: Settings) -> range:
    return range(settings.training.seed, settings.training.seed + settings.candidate.ensemble.seeds)


def _student_checkpoint(folder: Path, key: str) -> Checkpoint:
    return Checkpoint(folder / "student", key)


def _data(nested: NestedFold, store: CanvasStore, context: RunContext) -> TrainingData:
    return TrainingData(store, nested.training, nested.validation, context.readings)


def _member(settings: Settings, data: TrainingData, checkpoint: Checkpoint, seed: int, label: str) -> TrainedNetwork:
    def on_epoch(row: EpochRow) -> None:
        logger.info(
            "%s, epoch %d/%d: inner validation QWK %.3f, %.0f photographs/s",
            label,
            row.epoch + 1,
            settings.candidate.epochs,
            row.validation_qwk,
            row.images_per_s,
        )

    options = FitOptions(seed, checkpoint, on_epoch)
    return train_network(settings.candidate, settings.training, data, options)


def _combined(settings: Settings, graders: Sequence[Grader]) -> nn.Module:
    """One network with the identity view as it is; several networks or views by the mean of their probabilities."""
    views = settings.candidate.ensemble.views
    if settings.candidate.ensemble.combine == "soup":
        graders = [soup(graders)]
    if len(graders) == 1 and views == ("identity",):
        return graders[0]
    return EnsembleGrader(Ensemble(graders, views, Weighted.uniform(len(graders) * len(views))))


def _predict_logits(
    settings: Settings, network: nn.Module, store: Canvases, image_ids: Sequence[str]
) -> NDArray[np.float32]:
    """Logits (N, 5). All views of a photograph are computed at once, so that the batch holds fewer photographs."""
    candidate = settings.candidate
    views = len(candidate.ensemble.views)
    batch = max(1, evaluation_batch(candidate) // views)
    with memory_advice(one_device().device, candidate, batch * views):
        logits = predict(cast("Grader", network), store, image_ids, candidate.input_px, batch=batch)
    return logits.astype(np.float32)


def _facts(settings: Settings, nested: NestedFold, members: Sequence[TrainedNetwork]) -> dict[str, Any]:
    history = [row for member in members for row in member.fit.history]
    return {
        "configuration": settings.configuration,
        "fold": nested.fold,
        "training_photographs": len(nested.training),
        "validation_photographs": len(nested.validation),
        "outer_photographs": len(nested.outer),
        "epochs": settings.candidate.epochs,
        "best_epochs": [member.fit.best.epoch for member in members],
        "inner_validation_qwk": [member.fit.best.validation_qwk for member in members],
        # of all epochs, those before an interruption included; without loading and predicting
        "seconds": round(sum(row.seconds for row in history), 1),
        "images_per_s": median(row.images_per_s for row in history),
        "weights": members[0].weights_source,
        "parameters": members[0].num_parameters,
        "device": members[0].device,
    }
