"""The loop that trains a network to outline lesions, and to grade: tiles in, an average of its weights out."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from monai.utils import set_determinism
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.files import sha256_json
from dr_pipeline.logs import progress
from dr_pipeline.models.classifier import classifier_names, init_classifier
from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.models.multi_task import MultiTaskNetwork
from dr_pipeline.models.segmenter import segmenter_from_params
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.processes import keep_freed_memory
from dr_pipeline.tables.lesion_history import LesionEpoch
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.fabric import device_name, num_loader_workers, one_device
from dr_pipeline.training.lesions.graded import GradedBatch, GradeLearning
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
        grader: The tensors of the grader on the same encoder, by the names of `Grader`; None: lesions alone.
        grading: How well it grades; None: lesions alone.
    """

    tensors: dict[str, Tensor]
    history: tuple[LesionEpoch, ...]
    source: str
    device: str
    grader: dict[str, Tensor] | None = None
    grading: dict[str, Any] | None = None

    def figures(self) -> dict[str, Any]:
        """For the report."""
        figures = {
            "weights": self.source,
            "epochs": len(self.history),
            "loss_first_epoch": self.history[0].loss,
            "loss": self.history[-1].loss,
            "seconds": round(sum(row.seconds for row in self.history), 1),
            "tiles_per_s": median(row.tiles_per_s for row in self.history),
            "device": self.device,
        }
        if self.grading is None:
            return figures
        losses = {"loss_first_epoch": self.history[0].grade_loss, "loss": self.history[-1].grade_loss}
        return figures | {"grading": losses | self.grading}


def checkpoint_key(params: LesionTraining, data: LesionData) -> str:
    """Hash of everything that the result depends on: values, photographs, weights, code and libraries."""
    return sha256_json(
        {
            "params": params.model_dump(mode="json", exclude={"overlap"}),
            "image_ids": list(data.image_ids),
            "kinds": [kind.name for kind in data.kinds],
            "canvases": data.identity,
            "graded": data.graded.identity if data.graded else "",
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
        data: The photographs; where some have grades, these are learned as well.
        checkpoint: Written after each epoch.
        on_epoch: Called after each epoch.

    Raises:
        ParamsError: timm has no such network, or the weights are not there.
        DataError: A canvas cannot be read, the weights are of another network, or a grade is measured that none of
            the training photographs has.
        GateError: The loss is not finite; the epoch before it stays saved.
        EnvironmentProblem: The memory or the disk is full.
    """
    keep_freed_memory(all_of_it=True)
    set_determinism(params.seed)
    fabric = one_device(params.precision)
    segmenter, source = segmenter_from_params(params, len(data.kinds), weights=params.weights)
    grader = _untrained_grader(params) if data.graded else None
    network = MultiTaskNetwork(segmenter, grader)
    grades = GradeLearning(data.graded, params, grader) if data.graded and grader else None
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
        batches = _batches(sampler, grades, epoch, steps, workers=num_loader_workers(fabric))
        for step in progress(batches, label=f"epoch {epoch + 1}/{params.epochs}", total=steps):
            losses.append(_backward(fabric, model, loss_of, grades, step))
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
    trained = cast("MultiTaskNetwork", average.module)
    return TrainedSegmenter(
        tensors=_tensors(trained.segmenter),
        history=tuple(history),
        source=source,
        device=device_name(fabric),
        grader=_tensors(trained.grader) if trained.grader else None,
        grading=grades.figures(fabric, trained.grader) if grades and trained.grader else None,
    )


def _untrained_grader(params: LesionTraining) -> Grader:
    """With the same initial weights as the segmenter's encoder, of which it needs those of the last layers."""
    grader = create_grader(params.model, input_px=params.grading.input_px, drop_rate=0.0, drop_path_rate=0.0)
    init_classifier(grader.backbone, grader.head, [])
    initialise_weights(grader, model=params.model, weights=params.weights)
    return grader


class _Step(NamedTuple):
    """What one step learns."""

    tiles: TileBatch
    graded: GradedBatch | None


class _Steps(Dataset[_Step]):
    """The steps of an epoch, for loader processes."""

    def __init__(self, sampler: TileSampler, grades: GradeLearning | None, epoch: int, steps: int) -> None:
        self._sampler, self._grades, self._epoch, self._steps = sampler, grades, epoch, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, number: int) -> _Step:
        graded = None if self._grades is None else self._grades.batch(self._epoch, number)
        return _Step(self._sampler.batch(self._epoch, number), graded)


def _batches(
    sampler: TileSampler, grades: GradeLearning | None, epoch: int, steps: int, *, workers: int
) -> Iterator[_Step]:
    """The batches of an epoch as tensors."""
    return iter(DataLoader(_Steps(sampler, grades, epoch, steps), batch_size=None, num_workers=workers))


def _parameter_groups(network: MultiTaskNetwork, params: LesionTraining) -> Sequence[dict[str, Any]]:
    """What starts from trained weights, at a fraction of the learning rate; decoder, head and classifier last."""
    new = [*network.segmenter.decoder.parameters(), *network.segmenter.head.parameters()]
    if network.grader is not None:
        for name in classifier_names(network.grader.backbone):
            new += network.grader.backbone.get_submodule(name).parameters()
    known = {id(parameter) for parameter in new}
    trained = [parameter for parameter in network.parameters() if id(parameter) not in known]
    rate = params.learning_rate
    return [{"params": trained, "lr": rate * params.encoder_rate}, {"params": new, "lr": rate}]


def _backward(
    fabric: Any, model: Any, loss_of: LesionLoss, grades: GradeLearning | None, step: Any
) -> tuple[float, ...]:
    """Loss of the tiles, and of the grades where they are learned; the gradients of both are accumulated."""
    try:
        images, shown, labelled = (fabric.to_device(part) for part in step.tiles)
        if grades is None:
            logits, _ = model(images)
            losses = [loss_of(logits, shown, labelled)]
            fabric.backward(losses[0])
        else:
            photographs, true = (fabric.to_device(part) for part in step.graded)
            logits, outputs = model(images, photographs)
            losses = [loss_of(logits, shown, labelled), grades.loss(outputs, true)]
            fabric.backward(losses[0] + grades.weight * losses[1])
    except torch.OutOfMemoryError as error:
        raise EnvironmentProblem(
            f"out of memory with {len(step.tiles.images)} tiles of {step.tiles.images.shape[1]} px"
            + ("" if step.graded is None else f" and {len(step.graded.images)} photographs"),
            where=str(fabric.device),
            todo="lower batch_tiles or tile_px of the lesions' training, or grading.batch_photographs",
        ) from error
    return tuple(float(loss.item()) for loss in losses)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
