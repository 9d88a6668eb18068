"""How the averaged model does on the validation photographs after an epoch."""

import math
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.models.grader import Grader
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.schema import GRADES
from dr_pipeline.training.data.dataset import Batches, GradedCanvases
from dr_pipeline.training.objectives import GradingLoss
from dr_pipeline.training.predict import all_outputs

# Without gradients twice a training batch fits; a batch for many processes would not, so that there is a bound.
_MAX_BATCH = 64
# Loader processes that only copy photographs from memory into batches.
_COPYING_WORKERS = 2


def evaluation_batch(candidate: Candidate) -> int:
    """Photographs computed at once without gradients: the same for any number of processes, for equal figures."""
    return min(_MAX_BATCH, max(1, 2 * candidate.batch_photographs // candidate.memory.accumulation))


def evaluation_workers(validation: GradedCanvases, num_workers: int) -> int:
    """Loader processes for photographs without augmentation: few where nothing is left to decode either.

    They live as long as those of training, but never work at the same time.

    Args:
        validation: The photographs.
        num_workers: Those of training; as many where each photograph is decoded when it is drawn.
    """
    return min(_COPYING_WORKERS, num_workers) if validation.in_memory else num_workers


@torch.inference_mode()
def evaluate(
    fabric: Fabric, grader: nn.Module, batches: Batches, grades: Tensor, objective: GradingLoss
) -> tuple[float, float]:
    """Mean loss and QWK of the rounded expected grade, over all processes' photographs.

    The expected grade, not the most probable one: it is what the deployed decision cuts, and it uses the grades'
    order. An undefined QWK (one grade only, all predicted alike, or a loss that is not finite) counts as 0.

    Args:
        fabric: Device, precision and processes.
        grader: A Grader.
        batches: Of this process, of photographs without augmentation.
        grades: long (N,) of all photographs.
        objective: Its loss is averaged; a teacher has no part in it.
    """
    outputs = all_outputs(fabric, grader, batches, len(grades), label="validation")
    head, targets = cast("Grader", grader).head, grades.to(fabric.device)
    loss = (objective.total(head, outputs, targets) / objective.weight(targets)).item()
    if not math.isfinite(loss):  # such outputs round to no grade
        return loss, 0.0
    levels = torch.tensor(GRADES, dtype=torch.float32, device=fabric.device)
    expected = (head(outputs).softmax(1) * levels).sum(1)
    qwk = quadratic_weighted_kappa(grades.numpy(), expected.round().long().cpu().numpy())
    return loss, 0.0 if math.isnan(qwk) else qwk


def share_buffers(fabric: Fabric, model: nn.Module) -> None:
    """Gives all processes the first one's buffers: running statistics are of each one's own photographs."""
    if fabric.world_size == 1:
        return
    own = dict(model.named_buffers())
    for name, buffer in fabric.broadcast({name: buffer.cpu() for name, buffer in own.items()}).items():
        own[name].copy_(buffer)
