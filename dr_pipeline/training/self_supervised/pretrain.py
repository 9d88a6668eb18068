"""The self-supervised loop: from published weights and photographs without grades to an encoder."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from dr_pipeline.errors import DataError, EnvironmentProblem, GateError
from dr_pipeline.files import sha256_json
from dr_pipeline.logs import progress
from dr_pipeline.models.classifier import classifier_prefixes
from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.params.pretraining import Pretraining
from dr_pipeline.processes import keep_freed_memory
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.pretraining import PretrainingRow
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.data.canvas_dataset import BatchLoader, GradedCanvases
from dr_pipeline.training.data.sampler import EpochBatchSampler, derived_seed
from dr_pipeline.training.fabric import device_name, num_loader_workers, one_device, set_determinism
from dr_pipeline.training.optimization import warmup_cosine
from dr_pipeline.training.run_identity import provenance
from dr_pipeline.training.self_supervised.photographs import Photographs
from dr_pipeline.training.self_supervised.simsiam import SimSiam
from dr_pipeline.training.self_supervised.views import two_views
from dr_pipeline.training.training_checks import require_finite

# Sound trainings stay above 0.5. Without the stop of the gradient and the last normalisation it fell to 0.15 and on.
MIN_SPREAD = 0.1
_WARMUP_FRACTION = 0.1


@dataclass(frozen=True)
class InitialEncoder:
    """A grader with the weights to continue from, and one line on their source."""

    grader: Grader
    source: str


@dataclass(frozen=True)
class PretrainedEncoder:
    """The last epoch's encoder.

    Attributes:
        tensors: By timm's names, without the classifier.
        history: The epochs.
        source: One line on the weights that it continued from.
        device: What it was trained on.
    """

    tensors: dict[str, Tensor]
    history: tuple[PretrainingRow, ...]
    source: str
    device: str

    def figures(self, params: Pretraining, photographs: Photographs) -> dict[str, Any]:
        """The entry of the report."""
        first, last = self.history[0], self.history[-1]
        return {
            "model": params.model,
            "weights": self.source,
            "photographs": len(photographs.names),
            "left_out": dict(sorted(photographs.left_out.items())),
            "epochs": len(self.history),
            "loss_first_epoch": first.loss,
            "loss": last.loss,
            "spread": last.spread,
            "seconds": round(sum(row.seconds for row in self.history), 1),
            "images_per_s": median(row.images_per_s for row in self.history),
            "device": self.device,
            "research_use": RESEARCH_USE,
        }


def initial_encoder(params: Pretraining) -> InitialEncoder:
    """The network with the weights that params names.

    Raises:
        ParamsError: timm has no such model, or the weights are not there.
        DataError: The weights are of another network.
    """
    grader = create_grader(params.model, input_px=params.input_px, drop_rate=0.0, drop_path_rate=0.0)
    return InitialEncoder(grader, initialise_weights(grader, model=params.model, weights=params.weights))


def checkpoint_key(params: Pretraining, photographs: Photographs) -> str:
    """Hash of everything that the result depends on: values, photographs, weights, code and libraries."""
    return sha256_json(
        {
            "params": params.model_dump(mode="json", exclude={"photographs"}),
            "photographs": [[name, photographs.row(name).pixel_hash] for name in photographs.names],
            "canvas_px": photographs.canvas_px,
            **provenance(params.weights, "none", module="dr_pipeline.training.self_supervised.pretrain"),
        }
    )


def pretrain(
    params: Pretraining,
    encoder: InitialEncoder,
    photographs: Photographs,
    checkpoint: Checkpoint,
    *,
    on_epoch: Callable[[PretrainingRow], None],
) -> PretrainedEncoder:
    """Trains an encoder on photographs without their grades, or resumes from the checkpoint.

    There is nothing to choose an epoch by: the last one is kept.

    Args:
        params: The section.
        encoder: Changed in place.
        photographs: What it learns from.
        checkpoint: Written after each epoch.
        on_epoch: Called after each epoch.

    Raises:
        DataError: There are fewer photographs than in one batch, or a canvas cannot be read.
        GateError: The loss is not finite, or the projections have collapsed; the epoch before it stays saved.
        EnvironmentProblem: The memory or the disk is full, or a loader process died.
    """
    names, grader = photographs.names, encoder.grader
    if len(names) < params.batch_photographs:
        raise DataError(
            f"found {len(names)} photographs to learn from, and a batch has {params.batch_photographs}",
            where="pretraining in params.yaml: photographs, batch_photographs",
            todo="name a folder with more photographs; a few hundred are still few for this method",
        )
    keep_freed_memory(all_of_it=True)
    set_determinism(params.seed)
    fabric = one_device(params.precision)
    model: Any = SimSiam(grader, input_px=params.input_px).to(memory_format=torch.channels_last)
    # the paper's SGD hardly moves the projector and the predictor in the few hundred steps of a small data set
    optimizer: Any = torch.optim.AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
    model, optimizer = fabric.setup(model, optimizer)
    no_grades = [0] * len(names)  # each photograph is drawn once an epoch, whatever these are
    data = GradedCanvases(
        photographs, names, no_grades, input_px=photographs.canvas_px, augment=two_views(params), seed=params.seed
    )
    sampler = EpochBatchSampler(no_grades, params.batch_photographs, shuffle=True, seed=params.seed)
    loader = BatchLoader(data, sampler, num_loader_workers(fabric))
    num_steps = params.epochs * len(loader)
    scheduler = LambdaLR(
        optimizer, lambda step: warmup_cosine(step, num_steps=num_steps, warmup_fraction=_WARMUP_FRACTION)
    )
    resumable: dict[str, Any] = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    history: list[PretrainingRow] = []
    if state := checkpoint.load():
        for name, part in resumable.items():
            part.load_state_dict(state[name])
        history = [PretrainingRow(**row) for row in state["history"]]

    model.train()
    for epoch in range(len(history), params.epochs):
        started, sampler.epoch = time.perf_counter(), epoch
        torch.manual_seed(derived_seed(params.seed, epoch))
        losses, spreads = [], []
        for images, _ in progress(loader, label=f"epoch {epoch + 1}/{params.epochs}", total=len(loader)):
            loss, spread = _backward(fabric, model, images, params)
            losses.append(loss)
            spreads.append(spread)
            require_finite(loss, "loss", epoch, len(losses), optimizer, checkpoint)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
        seconds = time.perf_counter() - started
        row = PretrainingRow(
            epoch=epoch,
            seconds=round(seconds, 3),
            loss=round(float(np.mean(losses)), 6),
            spread=round(float(np.mean(spreads)), 6),
            learning_rate=optimizer.param_groups[0]["lr"],
            images_per_s=round(len(names) / seconds, 1),
        )
        _require_spread(row)
        history.append(row)
        checkpoint.save(
            {name: part.state_dict() for name, part in resumable.items()}
            | {"history": [asdict(row) for row in history]}
        )
        on_epoch(row)
    classifier = classifier_prefixes(grader.backbone)
    tensors = {n: t.detach().cpu() for n, t in grader.backbone.state_dict().items() if not n.startswith(classifier)}
    return PretrainedEncoder(tensors, tuple(history), encoder.source, device_name(fabric))


def _backward(fabric: Any, model: Any, images: Tensor, params: Pretraining) -> tuple[float, float]:
    """Loss and spread of a batch, whose gradients are accumulated."""
    try:
        loss, spread = model(fabric.to_device(images))
        fabric.backward(loss)
    except torch.OutOfMemoryError as error:
        raise EnvironmentProblem(
            f"out of memory with two views each of {len(images)} photographs, {params.input_px} px ({params.model})",
            where=str(fabric.device),
            todo="lower batch_photographs, and the learning rate with it, or input_px of the section pretraining",
        ) from error
    return loss.item(), spread.item()


def _require_spread(row: PretrainingRow) -> None:
    if row.spread < MIN_SPREAD:
        raise GateError(
            f"collapse: in epoch {row.epoch + 1} all photographs have nearly the same projection; its spread is "
            f"{row.spread:.3f}, at least {MIN_SPREAD:g} is needed",
            where="pretraining in params.yaml: learning_rate, batch_photographs, augmentation",
            todo="lower learning_rate, raise batch_photographs, or check whether the photographs are copies of one",
        )
