"""The training loop, top to bottom: fine-tune, average, evaluate, keep the best by validation QWK."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from dr_pipeline.errors import DataError
from dr_pipeline.logs import progress
from dr_pipeline.models.grader import Grader
from dr_pipeline.models.layer_groups import freeze_batch_norm_statistics, parameter_groups, unfreeze_blocks
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.training import Training
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.checks import check_trainable, memory_advice, require_finite
from dr_pipeline.training.data.batch import Material, parts_of
from dr_pipeline.training.data.class_weights import grade_weights
from dr_pipeline.training.data.dataset import Batches, GradedCanvases
from dr_pipeline.training.data.sampler import EpochBatches
from dr_pipeline.training.fabric import prepared, require_compiler
from dr_pipeline.training.objectives import GradingLoss, TrainingTask
from dr_pipeline.training.schedule import MovingAverage, warmup_cosine
from dr_pipeline.training.seeds import derived_seed
from dr_pipeline.training.validation import evaluate, evaluation_batch, evaluation_workers, share_buffers


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
    grader: Grader,
    training: GradedCanvases,
    validation: GradedCanvases,
    *,
    candidate: Candidate,
    params: Training,
    seed: int,
    num_workers: int,
    checkpoint: Checkpoint,
    on_epoch: Callable[[Epoch], None],
    take_best: bool,
) -> Trained:
    """Trains `grader` and returns the best epoch's averaged weights.

    One process, several processes and accumulation give the same gradients, with four exceptions: batch normalisation
    and the soft kappa go by the photographs that are computed at once, dropout and mixing are drawn by each process.

    Args:
        fabric: Device, precision and processes.
        grader: uint8 (N, H, W, 3) → logits (N, 5).
        training: Augmented photographs.
        validation: Photographs as scoring will see them; they choose the epoch.
        candidate: The schedule, and how a batch fits into memory.
        params: What all candidates share.
        seed: Of the order, dropout and mixing; each epoch starts from it anew, so that a resumed run is the same.
        num_workers: Loader processes for training, and at most for validation; does not change what is learnt.
        checkpoint: Where to resume from, and to save each epoch.
        on_epoch: Told of each finished epoch, on the first process only.
        take_best: Trains no further: takes the best epoch of the checkpoint.

    Raises:
        DataError: A validated grade has no photograph to learn from, a canvas cannot be read, or there is no finished
            epoch to take the best of.
        ParamsError: The batch is too small for batch normalisation, or the model cannot checkpoint gradients.
        EnvironmentProblem: The memory or the disk is full, a loader process died, or nothing can be compiled here.
        GateError: The loss is no longer finite; the last good epoch stays in the checkpoint.
    """
    rank, world_size, batch = fabric.global_rank, fabric.world_size, candidate.batch_photographs
    num_parts = candidate.memory.accumulation
    check_trainable(grader, training.grades.tolist(), validation.grades.tolist(), batch // (num_parts * world_size))
    order = EpochBatches(
        training.grades.tolist(), batch, shuffle=True, seed=seed, sampling=params.balance.sampling,
        num_epochs=candidate.epochs, rank=rank, world_size=world_size,
    )  # fmt: skip
    loader = Batches(training, order, num_workers)
    plain_order = EpochBatches(
        validation.grades.tolist(), evaluation_batch(candidate), shuffle=False, seed=0, rank=rank, world_size=world_size
    )
    plain_loader = Batches(validation, plain_order, evaluation_workers(validation, num_workers))

    grader = prepared(fabric, grader, candidate)
    groups = parameter_groups(
        grader, learning_rate=candidate.learning_rate, weight_decay=params.weight_decay,
        layer_decay=candidate.fine_tuning.layer_decay,
    )  # fmt: skip
    objective = GradingLoss(params.objective, grade_weights(training.grades.tolist(), params.balance))
    task = TrainingTask(grader, objective, params.distillation)
    if params.compile:
        require_compiler(fabric.device)
        task.compile()
    fused = params.precision != "16-mixed" or None  # with that, Fabric could not clip; None is torch's next best
    model, optimizer = fabric.setup(task, torch.optim.AdamW(groups, lr=candidate.learning_rate, fused=fused))
    average = AveragedModel(grader, multi_avg_fn=MovingAverage(params.ema_decay), use_buffers=True)
    num_steps = candidate.epochs * len(loader)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, num_steps=num_steps, warmup_share=params.warmup_share)
    )

    resumable: dict[str, Any] = {"model": grader, "average": average, "optimizer": optimizer, "scheduler": scheduler}
    resumable |= {"scaler": fabric.strategy.precision} if params.precision == "16-mixed" else {}
    history: list[Epoch] = []
    best: Epoch | None = None
    best_weights: dict[str, Tensor] = {}
    if state := fabric.broadcast(checkpoint.load() if fabric.is_global_zero else None):
        for name, part in resumable.items():
            part.load_state_dict(state[name])
        history = [Epoch(**row) for row in state["history"]]
        best, best_weights = history[state["best"]], state["best_weights"]

    material = Material(training, params)
    for epoch in range(len(history), len(history) if take_best else candidate.epochs):
        started, order.epoch = time.perf_counter(), epoch
        torch.manual_seed(derived_seed(seed, epoch, rank))
        model.train()
        unfreeze_blocks(grader, epoch=epoch, fine_tuning=candidate.fine_tuning)
        freeze_batch_norm_statistics(grader)
        losses: list[float] = []
        num_seen = 0
        bar = progress(loader, label=f"epoch {epoch + 1}/{candidate.epochs}", total=len(loader))
        for number, (images, positions) in enumerate(bar):
            with memory_advice(fabric.device, candidate, math.ceil(len(images) / num_parts)):
                whole = material.of(fabric.to_device(images), positions, seed=derived_seed(seed, epoch, number, rank))
                whole = fabric.to_device(whole)
                weight = fabric.all_reduce(objective.weight(whole.targets), reduce_op="sum")
                total = torch.zeros_like(weight)
                parts = parts_of(whole, num_parts, fewest=order.fewest(number))
                for part in parts:
                    with fabric.no_backward_sync(model, enabled=part is not parts[-1]):
                        part_total = model(*part)
                        fabric.backward(part_total * world_size / weight)  # gradients are averaged over processes
                    total += part_total.detach()
                fabric.clip_gradients(model, optimizer, max_norm=params.clip_norm, error_if_nonfinite=False)
                losses.append((fabric.all_reduce(total, reduce_op="sum") / weight).item())
                require_finite(losses[-1], "loss", epoch, len(losses), optimizer, checkpoint)
                optimizer.step()
                optimizer.zero_grad()
            scheduler.step()
            average.update_parameters(grader)
            num_seen += len(positions)
        train_seconds = time.perf_counter() - started
        num_seen = int(fabric.all_reduce(torch.tensor(num_seen, device=fabric.device), reduce_op="sum"))
        share_buffers(fabric, average)
        with memory_advice(fabric.device, candidate, evaluation_batch(candidate)):
            validation_loss, qwk = evaluate(fabric, average.module, plain_loader, validation.grades, objective)
        # a gradient that overflows in an epoch's last step shows here, before it would reach the checkpoint
        require_finite(validation_loss, "validation loss", epoch, len(losses), optimizer, checkpoint)
        row = Epoch(
            epoch=epoch,
            seconds=round(time.perf_counter() - started, 3),
            train_loss=round(float(np.mean(losses)), 6),
            validation_loss=round(validation_loss, 6),
            validation_qwk=round(qwk, 6),
            learning_rate=max(group["lr"] for group in optimizer.param_groups),  # the classifier's
            images_per_s=round(num_seen / train_seconds, 1),
        )
        history.append(row)
        if best is None or row.validation_qwk >= best.validation_qwk:
            best = row
            best_weights = {name: value.detach().cpu().clone() for name, value in average.module.state_dict().items()}
        if fabric.is_global_zero:
            checkpoint.save(
                {name: part.state_dict() for name, part in resumable.items()}
                | {"history": [asdict(row) for row in history], "best": best.epoch, "best_weights": best_weights}
            )
            on_epoch(row)
    if best is None:
        raise DataError(
            "no epoch is finished",
            where=str(checkpoint.path),
            todo="train without --take-best, or lower the candidate's ensemble.seeds to the members that were trained",
        )
    return Trained(best_weights, best, tuple(history))
