"""What a finished bundle says of the photographs that its student is to learn from (Hinton et al. 2015)."""

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
from dr_pipeline.schema import NUM_GRADES

_PREFIX = "bundle:"
_WHERE = "params.yaml, training.distillation.teacher"
# On a CPU a larger batch is no faster, and its activations would only take memory.
_BATCH_PHOTOGRAPHS = 8


def teacher_logits(teacher: str, store: CanvasStore, image_ids: Sequence[str], *, threads: int) -> Tensor:
    """Runs the teacher once over the canvases as scoring would see them, without augmentation.

    The logits are divided by the bundle's fitted temperature: their softmax is the probabilities that the bundle
    states. The teacher's own input size counts, not the student's.

    A teacher that was trained on photographs of this data set's test or validation part tells its student of them: the
    stage `train` refuses those that lineage.require_unseen knows.

    Args:
        teacher: `bundle:PATH`, or `bundle:PATH#ID` to hold it to one bundle.
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
    bundle = _named(teacher, threads=threads)
    if bundle.pixel_path != store.pixel_path:
        raise ParamsError(
            f"the teacher {bundle.bundle_id} takes canvases of the pixel path {bundle.pixel_path.to_dict()}; "
            f"these are of {store.pixel_path.to_dict()}",
            where=_WHERE,
            todo="set `preprocess` in params.yaml as the teacher's was, or train a teacher on these canvases",
        )
    model, logits = bundle.model, np.empty((len(image_ids), NUM_GRADES), np.float32)
    starts = range(0, len(image_ids), _BATCH_PHOTOGRAPHS)
    for start in progress(starts, label="teacher", total=len(starts)):
        part = image_ids[start : start + _BATCH_PHOTOGRAPHS]
        inputs = np.stack([model_input(store.read(image_id), model.input_px) for image_id in part])
        logits[start : start + len(part)] = model.logits(inputs)
    return torch.from_numpy(logits / np.float32(bundle.decision.temperature))


def _named(teacher: str, *, threads: int) -> Bundle:
    path, _, wanted = teacher.removeprefix(_PREFIX).partition("#")
    if not teacher.startswith(_PREFIX) or not path:
        raise ParamsError(f"{teacher!r} names no bundle", where=_WHERE, todo="write bundle:PATH or bundle:PATH#ID")
    bundle = read_bundle(Path(path), threads=threads)
    if wanted and bundle.bundle_id != wanted:
        raise ParamsError(
            f"the bundle has the id {bundle.bundle_id}, not {wanted}",
            where=_WHERE,
            todo="name the bundle that is meant, or its id",
        )
    return bundle
