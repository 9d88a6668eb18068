"""A grader's outputs for photographs, as scoring will see them: no augmentation, no gradient, nothing padded."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from dr_pipeline.logs import progress
from dr_pipeline.models.grader import Grader
from dr_pipeline.training.data.dataset import Batches, Canvases, GradedCanvases
from dr_pipeline.training.data.sampler import EpochBatches
from dr_pipeline.training.fabric import num_loader_workers, one_device


def predict(
    grader: Grader, store: Canvases, image_ids: Sequence[str], input_px: int, *, batch: int
) -> NDArray[np.float32]:
    """Logits of photographs in 32 bit, on the first GPU where there is one.

    Args:
        grader: Comes back in evaluation mode, on the device where it was.
        store: The canvases.
        image_ids: Which photographs.
        input_px: Side of the model's input.
        batch: Photographs computed at once.

    Returns:
        Shape (N, 5), in the order of `image_ids`.

    Raises:
        DataError: A canvas cannot be read.
    """
    fabric, home = one_device(), next(grader.parameters()).device
    data = GradedCanvases(store, image_ids, [0] * len(image_ids), input_px=input_px, augment=None, seed=0)
    order = EpochBatches([0] * len(image_ids), batch, shuffle=False, seed=0)
    batches = Batches(data, order, num_loader_workers(fabric))
    grader.to(fabric.device)
    outputs = all_outputs(fabric, grader, batches, len(image_ids), label="predict")
    with torch.inference_mode():
        logits = grader.head(outputs)
    grader.to(home)
    return cast("NDArray[np.float32]", logits.cpu().numpy())


@torch.inference_mode()
def all_outputs(fabric: Fabric, grader: nn.Module, batches: Batches, num_photographs: int, *, label: str) -> Tensor:
    """Outputs of the network before its head, float32 (N, K), of the photographs of all processes' batches.

    Each process fills in its own rows and the rows are added up: with zeros elsewhere the sum is exact, so that the
    outputs are those of one process to the bit.

    Args:
        fabric: Device, precision and processes.
        grader: A Grader; put into evaluation mode.
        batches: Of this process.
        num_photographs: N, of all processes.
        label: For the progress bar.
    """
    grader.eval()
    own: list[tuple[Tensor, Tensor]] = []
    for images, positions in progress(batches, label=label, total=len(batches)):
        with fabric.autocast():
            rows = cast("Grader", grader).outputs(fabric.to_device(images))
        own.append((fabric.to_device(positions), rows.float()))
    # a process may have had no batch, and learns from the others how many outputs there are
    width = torch.tensor(own[0][1].shape[1] if own else 0, device=fabric.device)
    outputs = torch.zeros(num_photographs, int(fabric.all_reduce(width, reduce_op="max")), device=fabric.device)
    for positions, rows in own:
        outputs[positions] = rows
    return cast("Tensor", fabric.all_reduce(outputs, reduce_op="sum"))
