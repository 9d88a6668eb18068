"""The teacher's logits for the training photographs of its student (Hinton et al. 2015)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dr_pipeline.bundle.read import Bundle, read_bundle
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import ParamsError
from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.logs import progress
from dr_pipeline.models.weights.pins import split_pin
from dr_pipeline.schema import NUM_GRADES

SEEDS = "seeds"  # as a teacher: the candidate's own networks
_PREFIX = "bundle:"
_WHERE = "params.yaml, training.distillation.teacher"
# On a CPU a larger batch is no faster, and its activations would only take memory.
_BATCH_PHOTOGRAPHS = 8


def teacher_logits(teacher: str, store: CanvasStore, image_ids: Sequence[str], *, threads: int) -> Tensor:
    """Runs the teacher once over the canvases as scoring sees them, without augmentation.

    The logits are divided by the bundle's fitted temperature: their softmax gives the bundle's probabilities. The
    teacher's own input size is used, not the student's.

    A teacher that was trained on validation or test photographs of this data set would leak their grades to its
    student: `run_identity.require_disjoint` refuses it.

    Args:
        teacher: `bundle:PATH`, or `bundle:PATH#ID` to require one bundle.
        store: The canvases.
        image_ids: Which photographs, N of them.
        threads: Threads inside one operator of the teacher.

    Returns:
        float32 (N, 5), on the CPU.

    Raises:
        ParamsError: The text names no bundle, the bundle has another id, or was made for another pixel path.
        BundleError: The bundle is incomplete, altered, or fails its self-test.
        DataError: A canvas cannot be read.
    """
    bundle = _read_teacher(teacher, threads=threads)
    if bundle.pixel_path != store.pixel_path:
        raise ParamsError(
            f"the teacher {bundle.bundle_id} requires canvases of the pixel path {bundle.pixel_path.to_dict()}; "
            f"these are of {store.pixel_path.to_dict()}",
            where=_WHERE,
            todo="set `preprocess` in params.yaml to the teacher's values, or train a teacher on these canvases",
        )
    model, logits = bundle.model, np.empty((len(image_ids), NUM_GRADES), np.float32)
    starts = range(0, len(image_ids), _BATCH_PHOTOGRAPHS)
    for start in progress(starts, label="teacher", total=len(starts)):
        batch = image_ids[start : start + _BATCH_PHOTOGRAPHS]
        inputs = np.stack([model_input(store.read(image_id), model.input_px) for image_id in batch])
        logits[start : start + len(batch)] = model.logits(inputs)
    return torch.from_numpy(logits / np.float32(bundle.decision.temperature))


def _read_teacher(teacher: str, *, threads: int) -> Bundle:
    path, required_id = split_pin(teacher.removeprefix(_PREFIX))
    if not teacher.startswith(_PREFIX) or not path:
        raise ParamsError(f"{teacher!r} names no bundle", where=_WHERE, todo="write bundle:PATH or bundle:PATH#ID")
    bundle = read_bundle(Path(path), threads=threads)
    if required_id and bundle.bundle_id != required_id:
        raise ParamsError(
            f"the bundle has the id {bundle.bundle_id}, not {required_id}",
            where=_WHERE,
            todo="correct the path of the bundle, or its id",
        )
    return bundle
