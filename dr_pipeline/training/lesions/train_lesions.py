"""The loop that trains a network to outline lesions: tiles in, an average of its weights out."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from monai.utils import set_determinism
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.files import sha256_json
from dr_pipeline.logs import progress
from dr_pipeline.models.segmenter import Segmenter, segmenter_from_params
from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.processes import keep_freed_memory
from dr_pipeline.tables.lesion_history import LesionEpoch
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.fabric import device_name, num_loader_workers, one_device
from dr_pipeline.training.lesions.lesion_data import LesionData
from dr_pipeline.training.lesions.lesion_loss import LesionLoss
from dr_pipeline.training.lesions.tiles import TileBatch, TileSampler
from dr_pipeline.training.optimization import MovingAverage, warmup_cosine
from dr_pipeline.training.run_identity import provenance
from dr_pipeline.training.training_checks import require_finite


@dataclass(frozen=True)
class TrainedSegmenter:
    """The averaged weights after the last epoch: there is nothing to choose an epoch by.

    Attributes:
        tensors: By the names of `Segmenter`.
        history: The epochs.
        source: One line on the encoder's initial weights.
        device: What it was trained on.
    """

    tensors: dict[str, Tensor]
    history: tuple[LesionEpoch, ...]
    source: str
    device: str

    def figures(self) -> dict[str, Any]:
        """For the report."""
        return {
            "weights": self.source,
            "epochs": len(self.history),
            "loss_first_epoch": self.history[0].loss,
            "loss": self.history[-1].loss,
            "seconds": round(sum(row.seconds for row in self.history), 1),
            "tiles_per_s": median(row.tiles_per_s for row in self.history),
            "device": self.device,
        }


def checkpoint_key(params: LesionTraining, data: LesionData) -> str:
    """Hash of everything that the result depends on: values, photographs, weights, code and libraries."""
    return sha256_json(
        {
            "params": params.model_dump(mode="json", exclude={"overlap"}),
            "image_ids": list(data.image_ids),
            "kinds": [kind.name for kind in data.kinds],
            "canvases": data.identity,
            **provenance(params.weights, "none", module=__name__),
        }
    )


def train_lesions(
    params: LesionTraining,
    data: LesionData,
    checkpoint: Checkpoint,
    *,
    on_epoch: Callable[[LesionEpoch], None],
) -> TrainedSegmenter:
    """Trains one network, or resumes from the checkpoint.

    Args:
        params: Network, tiles, loss and schedule.
        data: The photographs.
        checkpoint: Written after each epoch.
        on_epoch: Called after each epoch.

    Raises:
        ParamsError: timm has no such network, or the weights are not there.
        DataError: A canvas cannot be read, or the weights are of another network.
        GateError: The loss is not finite; the epoch before it stays saved.
        EnvironmentProblem: The memory or the disk is full.
    """
    keep_freed_memory(all_of_it=True)
    set_determinism(params.seed)
    fabric = one_device(params.precision)
    network, source = segmenter_from_params(params, len(data.kinds), weights=params.weights)
    model: Any = network.to(memory_format=torch.channels_last)
    optimizer: Any = torch.optim.AdamW(_parameter_groups(network, params), weight_decay=params.weight_decay)
    model, optimizer = fabric.setup(model, optimizer)
    average = AveragedModel(network, multi_avg_fn=MovingAverage(params.ema_decay), use_buffers=True)
    loss_of = LesionLoss(
        false_positives=params.false_positives, focal_gamma=params.focal_gamma, focal_weight=params.focal_weight
    )
    sampler = TileSampler(data.store, data.image_ids, data.kinds, params)
    steps = math.ceil(len(data.image_ids) * params.tiles_per_photograph / params.batch_tiles)
    scheduler = LambdaLR(
        optimizer,
        lambda step: warmup_cosine(step, num_steps=steps * params.epochs, warmup_fraction=params.warmup_share),
    )
    resumable: dict[str, Any] = {"model": model, "average": average, "optimizer": optimizer, "scheduler": scheduler}
    history: list[LesionEpoch] = []
    if state := checkpoint.load():
        for name, part in resumable.items():
            part.load_state_dict(state[name])
        history = [LesionEpoch(**row) for row in state["history"]]

    model.train()
    for epoch in range(len(history), params.epochs):
        started, losses = time.perf_counter(), []
        batches = _batches(sampler, epoch, steps, workers=num_loader_workers(fabric))
        for batch in progress(batches, label=f"epoch {epoch + 1}/{params.epochs}", total=steps):
            losses.append(_backward(fabric, model, loss_of, batch))
            require_finite(losses[-1], "loss", epoch, len(losses), optimizer, checkpoint)
            fabric.clip_gradients(model, optimizer, max_norm=params.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            average.update_parameters(network)
        seconds = time.perf_counter() - started
        history.append(
            LesionEpoch(
                epoch=epoch,
                seconds=round(seconds, 3),
                loss=round(float(np.mean(losses)), 6),
                learning_rate=optimizer.param_groups[-1]["lr"],
                tiles_per_s=round(steps * params.batch_tiles / seconds, 3),
            )
        )
        checkpoint.save(
            {name: part.state_dict() for name, part in resumable.items()}
            | {"history": [asdict(row) for row in history]}
        )
        on_epoch(history[-1])
    tensors = {name: tensor.detach().cpu() for name, tensor in average.module.state_dict().items()}
    return TrainedSegmenter(tensors, tuple(history), source, device_name(fabric))


class _Steps(Dataset[TileBatch]):
    """The steps of an epoch, for loader processes."""

    def __init__(self, sampler: TileSampler, epoch: int, steps: int) -> None:
        self._sampler, self._epoch, self._steps = sampler, epoch, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, number: int) -> TileBatch:
        return self._sampler.batch(self._epoch, number)


def _batches(sampler: TileSampler, epoch: int, steps: int, *, workers: int) -> Iterator[TileBatch]:
    """The batches of an epoch as tensors."""
    return iter(DataLoader(_Steps(sampler, epoch, steps), batch_size=None, num_workers=workers))


def _parameter_groups(network: Segmenter, params: LesionTraining) -> Sequence[dict[str, Any]]:
    """The encoder, whose weights are trained already, at a fraction of the learning rate; decoder and head last."""
    encoder = list(network.encoder.parameters())
    others = [*network.decoder.parameters(), *network.head.parameters()]
    rate = params.learning_rate
    return [{"params": encoder, "lr": rate * params.encoder_rate}, {"params": others, "lr": rate}]


def _backward(fabric: Any, model: Any, loss_of: LesionLoss, batch: Any) -> float:
    """Loss of a batch, whose gradients are accumulated."""
    try:
        images, shown, labelled = (fabric.to_device(part) for part in batch)
        loss = loss_of(model(images), shown, labelled)
        fabric.backward(loss)
    except torch.OutOfMemoryError as error:
        raise EnvironmentProblem(
            f"out of memory with {len(batch.images)} tiles of {batch.images.shape[1]} px",
            where=str(fabric.device),
            todo="lower batch_tiles or tile_px of the lesions' training",
        ) from error
    return float(loss.item())
