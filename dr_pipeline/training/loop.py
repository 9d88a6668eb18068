"""The training loop, top to bottom: fine-tune, average, evaluate, keep the best by validation QWK."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from dr_pipeline.errors import GateError
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.training import Training
from dr_pipeline.progress import progress
from dr_pipeline.schema import GRADES, NUM_GRADES
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.dataset import EpochOrder, GradedCanvases, class_weights
from dr_pipeline.training.schedule import MovingAverage, warmup_cosine


@dataclass(frozen=True)
class Epoch:
    """One row of the history."""

    epoch: int
    seconds: float
    train_loss: float
    validation_loss: float
    validation_qwk: float
    learning_rate: float
    images_per_s: float


@dataclass(frozen=True)
class Trained:
    """The averaged weights of the best epoch, and how training went."""

    weights: dict[str, Tensor]
    best: Epoch
    history: tuple[Epoch, ...]


def fit(
    fabric: Fabric,
    grader: nn.Module,
    training: GradedCanvases,
    validation: GradedCanvases,
    *,
    candidate: Candidate,
    params: Training,
    num_workers: int,
    checkpoint: Checkpoint,
    on_epoch: Callable[[Epoch], None],
) -> Trained:
    """Trains `grader` and returns the best epoch's averaged weights.

    Args:
        fabric: Device and precision.
        grader: uint8 (N, H, W, 3) → logits (N, 5).
        training: Augmented photographs.
        validation: Photographs as scoring will see them; they choose the epoch.
        candidate: Epochs, batch and learning rate.
        params: What all candidates share.
        num_workers: Loader processes; does not change what is learnt.
        checkpoint: Where to resume from, and to save each epoch.
        on_epoch: Told of each finished epoch.

    Raises:
        ValueError: No epoch was asked for.
        GateError: The loss is no longer finite; the last good epoch stays in the checkpoint.
    """
    order = EpochOrder(len(training), shuffle=True, seed=params.seed)
    # a last batch of one photograph has no statistics for batch normalisation
    single = len(training) % candidate.batch_photographs == 1
    loader = _loader(training, order, candidate.batch_photographs, num_workers, drop_last=single)
    plain_order = EpochOrder(len(validation), shuffle=False, seed=0)
    validation_loader = _loader(validation, plain_order, 2 * candidate.batch_photographs, num_workers, drop_last=False)

    grader = grader.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(_decayed(grader, params.weight_decay), lr=candidate.learning_rate, fused=True)
    model, optimizer = fabric.setup(grader, optimizer)
    average = AveragedModel(grader, multi_avg_fn=MovingAverage(params.ema_decay), use_buffers=True)
    num_steps = candidate.epochs * len(loader)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, num_steps=num_steps, warmup_share=params.warmup_share)
    )
    weights = class_weights(training.grades.tolist(), params.class_weight_exponent, NUM_GRADES).to(fabric.device)
    loss_function = nn.CrossEntropyLoss(weight=weights, label_smoothing=params.label_smoothing)

    history: list[Epoch] = []
    best: Epoch | None = None
    best_weights: dict[str, Tensor] = {}
    if state := checkpoint.load():
        grader.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["rng"])
        history = [Epoch(**row) for row in state["history"]]
        best, best_weights = history[state["best"]], state["best_weights"]

    for epoch in range(len(history), candidate.epochs):
        started, order.epoch = time.perf_counter(), epoch
        model.train()
        losses: list[float] = []
        for images, grades in progress(loader, label=f"epoch {epoch + 1}/{candidate.epochs}", total=len(loader)):
            images, grades = fabric.to_device((images, grades))
            loss = loss_function(model(images), grades)
            fabric.backward(loss)
            fabric.clip_gradients(model, optimizer, max_norm=params.clip_norm, error_if_nonfinite=False)
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise GateError(
                    f"the loss is {losses[-1]} at epoch {epoch + 1}, step {len(losses)}",
                    todo="lower the candidate's learning_rate in params.yaml",
                )
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            average.update_parameters(grader)
        train_seconds = time.perf_counter() - started
        validation_loss, qwk = evaluate(fabric, average, validation_loader, loss_function)
        row = Epoch(
            epoch=epoch,
            seconds=round(time.perf_counter() - started, 3),
            train_loss=round(float(np.mean(losses)), 6),
            validation_loss=round(validation_loss, 6),
            validation_qwk=round(qwk, 6),
            learning_rate=optimizer.param_groups[0]["lr"],
            images_per_s=round(len(losses) * candidate.batch_photographs / train_seconds, 1),
        )
        history.append(row)
        if best is None or row.validation_qwk >= best.validation_qwk:
            best = row
            best_weights = {name: value.detach().cpu().clone() for name, value in average.module.state_dict().items()}
        checkpoint.save(_state(grader, average, optimizer, scheduler, history, best, best_weights))
        on_epoch(row)
    if best is None:
        raise ValueError("a candidate trains at least one epoch")
    return Trained(best_weights, best, tuple(history))


@torch.inference_mode()
def evaluate(
    fabric: Fabric, model: nn.Module, loader: "DataLoader[Any]", loss_function: nn.Module
) -> tuple[float, float]:
    """Mean loss and QWK of the rounded expected grade over a loader's photographs.

    The expected grade, not the most probable one: it is what the deployed decision cuts, and it uses the grades'
    order. An undefined QWK (one grade only, all predicted alike) counts as 0.
    """
    model.eval()
    expected, true, total = [], [], 0.0
    levels = torch.tensor(GRADES, dtype=torch.float32, device=fabric.device)
    for images, grades in loader:
        images, grades = fabric.to_device((images, grades))
        with fabric.autocast():
            logits = model(images).float()
        total += loss_function(logits, grades).item() * len(grades)
        expected.append((logits.softmax(1) * levels).sum(1).cpu())
        true.append(grades.cpu())
    predicted = torch.cat(expected).round().long().numpy()
    qwk = quadratic_weighted_kappa(torch.cat(true).numpy(), predicted)
    return total / len(predicted), 0.0 if math.isnan(qwk) else qwk


def _loader(
    data: GradedCanvases, order: EpochOrder, batch: int, num_workers: int, *, drop_last: bool
) -> "DataLoader[Any]":
    return DataLoader(data, batch_size=batch, sampler=order, num_workers=num_workers, drop_last=drop_last)


def _decayed(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels only, not for biases and normalisation (Loshchilov & Hutter; timm)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _state(
    grader: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LambdaLR,
    history: list[Epoch],
    best: Epoch,
    best_weights: dict[str, Tensor],
) -> dict[str, Any]:
    return {
        "model": grader.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "rng": torch.get_rng_state(),
        "history": [asdict(row) for row in history],
        "best": best.epoch,
        "best_weights": best_weights,
    }
