"""A grader's outputs without augmentation, as scoring computes them, and the validation figures of an epoch."""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from dr_pipeline.logs import progress
from dr_pipeline.metrics.cross_fitting import cross_fitted_grades
from dr_pipeline.metrics.kappa import kappa_standard_error, quadratic_weighted_kappa
from dr_pipeline.models.grader import Grader
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.schema import GRADES
from dr_pipeline.training.data.canvas_dataset import BatchLoader, Canvases, GradedCanvases
from dr_pipeline.training.data.sampler import EpochBatchSampler
from dr_pipeline.training.fabric import num_loader_workers, one_device
from dr_pipeline.training.objectives import GradingLoss

# Without gradients twice a training batch fits; a batch for many processes would not, so that there is a bound.
_MAX_BATCH = 64
# Loader processes that only copy photographs from memory into batches.
_COPYING_WORKERS = 2


def evaluation_batch(candidate: Candidate) -> int:
    """Photographs in a batch without gradients: the same for any number of processes, so that figures are equal."""
    return min(_MAX_BATCH, max(1, 2 * candidate.batch_photographs // candidate.memory.accumulation))


def evaluation_workers(val_set: GradedCanvases, num_workers: int) -> int:
    """Loader processes for photographs without augmentation: few where nothing has to be decoded either.

    They live as long as those of training, but never work at the same time.

    Args:
        val_set: The photographs.
        num_workers: Those of training; as many where each photograph is decoded when it is drawn.
    """
    return min(_COPYING_WORKERS, num_workers) if val_set.in_memory else num_workers


@torch.inference_mode()
def evaluate(
    fabric: Fabric, grader: nn.Module, loader: BatchLoader, val_set: GradedCanvases, objective: GradingLoss
) -> tuple[float, float, float]:
    """Mean loss, and QWK at cross-fitted cut points with its standard error, over the photographs of all processes.

    That is the QWK of what ships: the deployed decision applies fitted cut points to the expected grade. An undefined
    one (one grade only, or a loss that is not finite) is returned as 0. The standard error is that over groups.

    Args:
        fabric: Device, precision and processes.
        grader: A Grader.
        loader: Of this process, of photographs without augmentation.
        val_set: All photographs.
        objective: Its loss is averaged, without a teacher.
    """
    grades = val_set.grades
    outputs = gather_outputs(fabric, grader, loader, len(grades), label="validation")
    head, targets = cast("Grader", grader).head, grades.to(fabric.device)
    loss = (objective.total(head, outputs, targets) / objective.weight(targets)).item()
    if not math.isfinite(loss):  # such outputs have no order
        return loss, 0.0, 0.0
    levels = torch.tensor(GRADES, dtype=torch.float64, device=fabric.device)
    expected = (head(outputs).double().softmax(1) * levels).sum(1)
    true, groups = grades.numpy(), val_set.groups
    predicted = cross_fitted_grades(expected.cpu().numpy(), true, groups)
    qwk = quadratic_weighted_kappa(true, predicted)
    return loss, 0.0 if math.isnan(qwk) else qwk, kappa_standard_error(true, predicted, groups)


def predict(
    grader: Grader, store: Canvases, image_ids: Sequence[str], input_px: int, *, batch: int
) -> NDArray[np.float32]:
    """Logits of photographs in 32 bit, on the first GPU where there is one.

    Args:
        grader: Returned in evaluation mode, on its former device.
        store: The canvases.
        image_ids: Which photographs.
        input_px: Side of the model's input.
        batch: Photographs in a batch.

    Returns:
        Shape (N, 5), in the order of `image_ids`.

    Raises:
        DataError: A canvas cannot be read.
    """
    fabric, former_device = one_device(), next(grader.parameters()).device
    data = GradedCanvases(store, image_ids, [0] * len(image_ids), input_px=input_px)
    sampler = EpochBatchSampler([0] * len(image_ids), batch, shuffle=False, seed=0)
    loader = BatchLoader(data, sampler, num_loader_workers(fabric))
    grader.to(fabric.device)
    outputs = gather_outputs(fabric, grader, loader, len(image_ids), label="predict")
    with torch.inference_mode():
        logits = grader.head(outputs)
    grader.to(former_device)
    return cast("NDArray[np.float32]", logits.cpu().numpy())


@torch.inference_mode()
def gather_outputs(
    fabric: Fabric, grader: nn.Module, loader: BatchLoader, num_photographs: int, *, label: str
) -> Tensor:
    """Outputs of the network before its head, float32 (N, K), of the photographs of all processes.

    Each process fills in its own rows and the rows are summed: with zeros elsewhere the sum is exact, so that the
    outputs equal those of one process to the bit.

    Args:
        fabric: Device, precision and processes.
        grader: A Grader; put into evaluation mode.
        loader: Of this process.
        num_photographs: N, of all processes.
        label: For the progress bar.
    """
    grader.eval()
    batches: list[tuple[Tensor, Tensor]] = []
    for images, positions in progress(loader, label=label, total=len(loader)):
        with fabric.autocast():
            rows = cast("Grader", grader).outputs(fabric.to_device(images))
        batches.append((fabric.to_device(positions), rows.float()))
    # a process without a batch gets the number of outputs from the others
    width = torch.tensor(batches[0][1].shape[1] if batches else 0, device=fabric.device)
    outputs = torch.zeros(num_photographs, int(fabric.all_reduce(width, reduce_op="max")), device=fabric.device)
    for positions, rows in batches:
        outputs[positions] = rows
    return cast("Tensor", fabric.all_reduce(outputs, reduce_op="sum"))
