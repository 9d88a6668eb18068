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

from dr_pipeline.errors import GateError
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.training import Training
from dr_pipeline.progress import progress
from dr_pipeline.schema import GRADES, NUM_GRADES
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.dataset import Batches, EpochOrder, GradedCanvases, class_weights
from dr_pipeline.training.launch import check_trainable, memory_advice
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
        DataError: A validated grade has no photograph to learn from, or a canvas cannot be read.
        ParamsError: The batch is too small for batch normalisation.
        EnvironmentProblem: The memory or the disk is full, or a loader process died.
        GateError: The loss is no longer finite; the last good epoch stays in the checkpoint.
    """
    batch = candidate.batch_photographs
    check_trainable(grader, training.grades.tolist(), validation.grades.tolist(), batch)
    order = EpochOrder(len(training), shuffle=True, seed=params.seed)
    # a last batch of one photograph has no statistics for batch normalisation
    loader = Batches(training, order, batch, num_workers, drop_last=len(training) % batch == 1)
    plain_order = EpochOrder(len(validation), shuffle=False, seed=0)
    validation_loader = Batches(validation, plain_order, 2 * batch, num_workers, drop_last=False)

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

    resumable: dict[str, Any] = {"model": grader, "average": average, "optimizer": optimizer, "scheduler": scheduler}
    history: list[Epoch] = []
    best: Epoch | None = None
    best_weights: dict[str, Tensor] = {}
    if state := checkpoint.load():
        for name, part in resumable.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["rng"])
        history = [Epoch(**row) for row in state["history"]]
        best, best_weights = history[state["best"]], state["best_weights"]

    for epoch in range(len(history), candidate.epochs):
        started, order.epoch = time.perf_counter(), epoch
        model.train()
        losses: list[float] = []
        num_seen = 0
        for images, grades in progress(loader, label=f"epoch {epoch + 1}/{candidate.epochs}", total=len(loader)):
            with memory_advice(fabric.device, candidate, len(grades)):
                images, grades = fabric.to_device((images, grades))
                loss = loss_function(model(images), grades)
                fabric.backward(loss)
                fabric.clip_gradients(model, optimizer, max_norm=params.clip_norm, error_if_nonfinite=False)
                losses.append(loss.item())
                _require_finite(losses[-1], "loss", epoch, len(losses), optimizer, checkpoint)
                optimizer.step()
                optimizer.zero_grad()
            scheduler.step()
            average.update_parameters(grader)
            num_seen += len(grades)
        train_seconds = time.perf_counter() - started
        with memory_advice(fabric.device, candidate, 2 * batch):
            validation_loss, qwk = evaluate(fabric, average, validation_loader, loss_function)
        # a gradient that overflows in an epoch's last step shows here, before it would reach the checkpoint
        _require_finite(validation_loss, "validation loss", epoch, len(losses), optimizer, checkpoint)
        row = Epoch(
            epoch=epoch,
            seconds=round(time.perf_counter() - started, 3),
            train_loss=round(float(np.mean(losses)), 6),
            validation_loss=round(validation_loss, 6),
            validation_qwk=round(qwk, 6),
            learning_rate=optimizer.param_groups[0]["lr"],
            images_per_s=round(num_seen / train_seconds, 1),
        )
        history.append(row)
        if best is None or row.validation_qwk >= best.validation_qwk:
            best = row
            best_weights = {name: value.detach().cpu().clone() for name, value in average.module.state_dict().items()}
        checkpoint.save(
            {name: part.state_dict() for name, part in resumable.items()}
            | {"rng": torch.get_rng_state(), "history": [asdict(row) for row in history]}
            | {"best": best.epoch, "best_weights": best_weights}
        )
        on_epoch(row)
    if best is None:
        raise ValueError("a candidate trains at least one epoch")
    return Trained(best_weights, best, tuple(history))


@torch.inference_mode()
def evaluate(fabric: Fabric, model: nn.Module, loader: Batches, loss_function: nn.Module) -> tuple[float, float]:
    """Mean loss and QWK of the rounded expected grade over a loader's photographs.

    The expected grade, not the most probable one: it is what the deployed decision cuts, and it uses the grades'
    order. An undefined QWK (one grade only, all predicted alike, or a loss that is not finite) counts as 0.
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
    if not math.isfinite(total):  # such logits round to no grade
        return total, 0.0
    predicted = torch.cat(expected).round().long().numpy()
    qwk = quadratic_weighted_kappa(torch.cat(true).numpy(), predicted)
    return total / len(predicted), 0.0 if math.isnan(qwk) else qwk


def _require_finite(loss: float, name: str, epoch: int, step: int, optimizer: Any, checkpoint: Checkpoint) -> None:
    if not math.isfinite(loss):
        kept = f"{checkpoint.path} keeps the last good weights, of epoch {epoch}"
        rate = optimizer.param_groups[0]["lr"]
        raise GateError(
            f"the {name} is {loss} at epoch {epoch + 1}, step {step}, learning rate {rate:.3g}",
            where=kept if epoch else "no epoch is finished",
            todo="lower the candidate's learning_rate in params.yaml, to a tenth for a start",
        )


def _decayed(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels only, not for biases and normalisation (Loshchilov & Hutter; timm)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
