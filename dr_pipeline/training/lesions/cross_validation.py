"""Trains a network for each fold, which its figures come from, and one of all photographs, which is exported."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.errors import ParamsError
from dr_pipeline.files import sha256_file
from dr_pipeline.models.segmenter_files import (
    SegmenterSpec,
    grader_name,
    network_name,
    remove_spec,
    write_network,
    write_spec,
)
from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.lesions.graded import Grades
from dr_pipeline.training.lesions.lesion_data import annotated_kinds, lesion_data
from dr_pipeline.training.lesions.tile_training import LesionEpoch
from dr_pipeline.training.lesions.train_lesions import checkpoint_key, train_lesions


def train_networks(
    store: LesionStore,
    params: LesionTraining,
    out: Path,
    scratch: Path,
    *,
    folds: Sequence[int | None],
    grades: Grades | None = None,
    on_epoch: Callable[[str, LesionEpoch], None],
) -> dict[str, Any]:
    """Trains the networks one after the other; an interrupted one resumes after its last finished epoch.

    A network that has finished is not trained again when the stage is interrupted later: its checkpoint stays in
    `scratch` until the caller removes it.

    Args:
        store: The canvases with their folds; the networks learn every kind that was annotated in them.
        params: How they are trained; all alike, with the same number of epochs, so that none is chosen by its figures.
        out: The folder for weights and model.json.
        scratch: Folder of unfinished trainings.
        folds: Which networks; None is that of all photographs.
        grades: What is learned as well, as `params.grading` says; None: lesions alone.
        on_epoch: Called with the network's name after each epoch.

    Returns:
        Figures of each training, by the network's name.

    Raises:
        DataError: A kind is in no training photograph, a canvas cannot be read, or grades cannot be learned.
        ParamsError: The network or its weights are not there, the graded canvases are of another pixel path, or a tile
            is larger than a canvas, so that no network could be exported.
        GateError: The loss is not finite.
        EnvironmentProblem: The memory or the disk is full.
    """
    if params.tile_px > (canvas_px := store.pixel_path.canvas_px):
        raise ParamsError(
            f"tiles of {params.tile_px} px are larger than the canvases, {canvas_px} px",
            where="params.yaml, lesions.NAME.training.tile_px",
            todo=f"set tile_px to {canvas_px} or less",
        )
    rows, kinds = list(store.rows.values()), annotated_kinds(store)
    spec = SegmenterSpec(
        kinds=kinds,
        training=params,
        folds=1 + max(row.fold for row in rows),
        canvas_px=canvas_px,
        um_per_px=rows[0].um_per_px,
        index_sha256=sha256_file(store.index_path),
    )
    data = {network_name(fold): lesion_data(store, kinds, fold, grades) for fold in folds}  # refuses before it trains
    figures: dict[str, Any] = {}
    for name, photographs in data.items():
        checkpoint = Checkpoint(scratch / name, checkpoint_key(params, photographs))
        trained = train_lesions(params, photographs, checkpoint, on_epoch=partial(on_epoch, name))
        if not figures:
            remove_spec(out)  # a run that ends here leaves no mixture of old and new networks that passes for whole
        write_network(out, name, trained.tensors)
        if trained.grader is not None:
            write_network(out, grader_name(name), trained.grader)
        figures[name] = trained.figures() | {"photographs": len(photographs.image_ids)}
    write_spec(out, spec)
    return figures
