"""The loop that trains a network on tiles of canvases: steps in, an average of its weights out."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.files import sha256_json
from dr_pipeline.logs import progress
from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.fabric import device_name, num_loader_workers
from dr_pipeline.training.lesions.lesion_data import LesionData
from dr_pipeline.training.optimization import MovingAverage, warmup_cosine
from dr_pipeline.training.run_identity import provenance
from dr_pipeline.training.training_checks import require_finite


class Batches(Protocol):
    """What the steps learn from, such as a TileSampler."""

    def batch(self, epoch: int, number: int) -> Any:
        """Arrays, also in tuples and lists: the same for the same epoch and number."""
        ...


class Losses(NamedTuple):
    """Scalars of a batch.

    Attributes:
        total: Whose gradient is followed.
        lesions: Of the tiles.
        grades: Of graded photographs, before its weight; None where none are learned.
    """

    total: Tensor
    lesions: Tensor
    grades: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionEpoch:
    """One epoch of a training on tiles.

    Attributes:
        epoch: From 0.
        seconds: Of the epoch.
        loss: Of lesions, mean over its steps.
        learning_rate: Of the decoder, at the end of the epoch.
        tiles_per_s: Tiles per second.
        grade_loss: Mean over its steps; None where lesions are learned alone.
    """

    epoch: int
    seconds: float
    loss: float
    learning_rate: float
    tiles_per_s: float
    grade_loss: float | None = None


@dataclass(frozen=True)
class TrainedNetwork:
    """The averaged weights after the last epoch: there is nothing to choose an epoch by.

    Attributes:
        network: With these weights, on the device.
        history: The epochs.
        source: One line on the encoder's initial weights.
        device: What it was trained on.
    """

    network: nn.Module
    history: tuple[LesionEpoch, ...]
    source: str
    device: str

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The weights, by the names of the network."""
        return tensors_of(self.network)

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


def training_key(params: LesionTraining, data: LesionData, *, module: str) -> str:
    """Hash of everything that the result depends on: values, photographs, weights, code and libraries.

    Args:
        params: Network, tiles, loss and schedule.
        data: The photographs.
        module: Whose import closure is the code.
    """
    return sha256_json(
        {
            "params": params.model_dump(mode="json", exclude={"overlap"}),
            "image_ids": list(data.image_ids),
            "kinds": [kind.name for kind in data.kinds],
            "canvases": data.identity,
            "graded": data.graded.identity if data.graded else "",
            **provenance(params.weights, "none", module=module),
        }
    )


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """The weights in the CPU's memory, by name."""
    return {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}


def train_on_tiles(
    params: LesionTraining,
    data: LesionData,
    checkpoint: Checkpoint,
    *,
    fabric: Fabric,
    network: nn.Module,
    source: str,
    new: Iterable[nn.Parameter],
    batches: Batches,
    losses_of: Callable[[Any, Any], Losses],
    on_epoch: Callable[[LesionEpoch], None],
) -> TrainedNetwork:
    """Trains one network, or resumes from the checkpoint; the caller seeds and creates it.

    Args:
        params: Tiles and schedule.
        data: The photographs, whose number determines that of the steps.
        checkpoint: Written after each epoch.
        fabric: Of one device.
        network: Changed in place.
        source: One line on its initial weights.
        new: Its parameters that were not trained before; the others learn at a fraction of the rate.
        batches: Of the steps.
        losses_of: The network and a batch on its device → the losses.
        on_epoch: Called after each epoch.

    Raises:
        DataError: A canvas cannot be read.
        GateError: The loss is not finite; the epoch before it stays saved.
        EnvironmentProblem: The memory or the disk is full.
    """
    model: Any = network.to(memory_format=torch.channels_last)
    optimizer: Any = torch.optim.AdamW(_parameter_groups(network, new, params), weight_decay=params.weight_decay)
    model, optimizer = fabric.setup(model, optimizer)
    average = AveragedModel(network, multi_avg_fn=MovingAverage(params.ema_decay), use_buffers=True)
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
        drawn = _steps(batches, epoch, steps, workers=num_loader_workers(fabric))
        for batch in progress(drawn, label=f"epoch {epoch + 1}/{params.epochs}", total=steps):
            losses.append(_backward(fabric, model, losses_of, batch, params))
            require_finite(sum(losses[-1]), "loss", epoch, len(losses), optimizer, checkpoint)
            fabric.clip_gradients(model, optimizer, max_norm=params.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            average.update_parameters(network)
        seconds = time.perf_counter() - started
        of_lesions, *of_grades = (round(float(loss), 6) for loss in np.mean(losses, axis=0))
        history.append(
            LesionEpoch(
                epoch=epoch,
                seconds=round(seconds, 3),
                loss=of_lesions,
                learning_rate=optimizer.param_groups[-1]["lr"],
                tiles_per_s=round(steps * params.batch_tiles / seconds, 3),
                grade_loss=of_grades[0] if of_grades else None,
            )
        )
        checkpoint.save(
            {name: part.state_dict() for name, part in resumable.items()}
            | {"history": [asdict(row) for row in history]}
        )
        on_epoch(history[-1])
    return TrainedNetwork(average.module, tuple(history), source, device_name(fabric))


class _Steps(Dataset[Any]):
    """The steps of an epoch, for loader processes."""

    def __init__(self, batches: Batches, epoch: int, steps: int) -> None:
        self._batches, self._epoch, self._steps = batches, epoch, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, number: int) -> Any:
        return self._batches.batch(self._epoch, number)


def _steps(batches: Batches, epoch: int, steps: int, *, workers: int) -> Iterator[Any]:
    """The batches of an epoch as tensors."""
    return iter(DataLoader(_Steps(batches, epoch, steps), batch_size=None, num_workers=workers))


def _parameter_groups(
    network: nn.Module, new: Iterable[nn.Parameter], params: LesionTraining
) -> Sequence[dict[str, Any]]:
    """What starts from trained weights, at a fraction of the learning rate; what is new last."""
    new = list(new)
    known = {id(parameter) for parameter in new}
    trained = [parameter for parameter in network.parameters() if id(parameter) not in known]
    rate = params.learning_rate
    return [{"params": trained, "lr": rate * params.encoder_rate}, {"params": new, "lr": rate}]


def _backward(
    fabric: Fabric, model: Any, losses_of: Callable[[Any, Any], Losses], batch: Any, params: LesionTraining
) -> tuple[float, ...]:
    """Losses of the lesions, and of the grades where they are learned; the gradients are accumulated."""
    try:
        losses = losses_of(model, fabric.to_device(batch))
        fabric.backward(losses.total)
    except torch.OutOfMemoryError as error:
        raise EnvironmentProblem(
            f"out of memory with {params.batch_tiles} tiles of {params.tile_px} px"
            + ("" if not params.grading.weight else f" and {params.grading.batch_photographs} photographs"),
            where=str(fabric.device),
            todo="lower batch_tiles or tile_px of the lesions' training, or grading.batch_photographs",
        ) from error
    return tuple(float(loss.item()) for loss in losses[1:] if loss is not None)
