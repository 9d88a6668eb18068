"""The training loop, top to bottom: fine-tune, average, validate, keep the best epoch.

The best one has the highest validation QWK at cross-fitted cut points, see `predict.evaluate`.
"""

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
from dr_pipeline.models.layer_groups import freeze_batch_norm_statistics, unfreeze_blocks
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.training import Training
from dr_pipeline.tables.history import EpochRow, chosen_epoch
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.data.batch import BatchBuilder, split_microbatches
from dr_pipeline.training.data.canvas_dataset import BatchLoader, GradedCanvases
from dr_pipeline.training.data.sampler import EpochBatchSampler, derived_seed
from dr_pipeline.training.data.targets import grade_weights
from dr_pipeline.training.fabric import num_loader_workers, prepare_grader, require_compiler, share_buffers
from dr_pipeline.training.objectives import GradingLoss, TrainingTask
from dr_pipeline.training.optimization import MovingAverage, make_optimizer, make_scheduler
from dr_pipeline.training.predict import evaluate, evaluation_batch, evaluation_workers
from dr_pipeline.training.training_checks import check_trainable, memory_advice, require_finite


@dataclass(frozen=True)
class FitOptions:
    """Seed, checkpoint and reporting of one training.

    Attributes:
        seed: Each epoch derives its own seeds from it, so that a resumed run equals an uninterrupted one.
        checkpoint: Resumed from, and saved after each epoch.
        on_epoch: Called after each epoch (rank 0 only).
        take_best: Train no further: take the best epoch of the checkpoint.
        stop_hint: How a user finishes with the epochs that there are; empty where that is not possible.
    """

    seed: int
    checkpoint: Checkpoint
    on_epoch: Callable[[EpochRow], None]
    take_best: bool = False
    stop_hint: str = ""


@dataclass(frozen=True)
class FitResult:
    """The averaged weights of the best epoch, and the history."""

    weights: dict[str, Tensor]
    best: EpochRow
    history: tuple[EpochRow, ...]


def fit(
    fabric: Fabric,
    grader: Grader,
    train_set: GradedCanvases,
    val_set: GradedCanvases,
    *,
    candidate: Candidate,
    params: Training,
    options: FitOptions,
) -> FitResult:
    """Trains `grader` and returns the averaged weights of the chosen epoch, see `chosen_epoch`.

    One process, several processes and accumulation give the same gradients, with four exceptions: batch normalisation
    and the soft kappa depend on the photographs of a microbatch, and each process draws its own dropout and mixing.

    Args:
        fabric: Device, precision and processes.
        grader: uint8 (N, H, W, 3) → logits (N, 5).
        train_set: Augmented photographs.
        val_set: Photographs as scoring sees them; they choose the epoch.
        candidate: The schedule, and how a batch fits into memory.
        params: Settings that all candidates share.
        options: Seed, checkpoint and reporting.

    Raises:
        DataError: A grade of the validation set has no training photograph, a canvas cannot be read, or `take_best`
            is set and no epoch has finished.
        ParamsError: The batch is too small for batch normalisation, or the model cannot checkpoint gradients.
        EnvironmentProblem: The memory or the disk is full, a loader process died, or torch.compile does not work.
        GateError: The loss is not finite; the last good epoch stays in the checkpoint.
    """
    rank, world_size, seed, checkpoint = fabric.global_rank, fabric.world_size, options.seed, options.checkpoint
    train_grades, val_grades = train_set.grades.tolist(), val_set.grades.tolist()
    batch_size, num_microbatches = candidate.batch_photographs, candidate.memory.accumulation
    check_trainable(grader, train_grades, val_grades, batch_size // (num_microbatches * world_size))
    sampler = EpochBatchSampler(
        train_grades, batch_size, shuffle=True, seed=seed, sampling=params.balance.sampling,
        num_epochs=candidate.epochs, sites=train_set.sites, site_temperature=params.balance.site_temperature,
        rank=rank, world_size=world_size,
    )  # fmt: skip
    num_workers = num_loader_workers(fabric)
    train_loader = BatchLoader(train_set, sampler, num_workers)
    val_batch = evaluation_batch(candidate)
    val_sampler = EpochBatchSampler(val_grades, val_batch, shuffle=False, seed=0, rank=rank, world_size=world_size)
    val_loader = BatchLoader(val_set, val_sampler, evaluation_workers(val_set, num_workers))

    grader = prepare_grader(fabric, grader, candidate)
    objective = GradingLoss(params.objective, grade_weights(train_grades, params.balance))
    task = TrainingTask(grader, objective, params.distillation)
    optimizer = make_optimizer(grader, candidate, params)
    if params.compile:
        require_compiler(fabric.device)
        task.compile()
    model, optimizer = fabric.setup(task, optimizer)
    average = AveragedModel(grader, multi_avg_fn=MovingAverage(params.ema_decay), use_buffers=True)
    scheduler = make_scheduler(optimizer, candidate.epochs * len(train_loader), params)

    resumable: dict[str, Any] = {"model": grader, "average": average, "optimizer": optimizer, "scheduler": scheduler}
    resumable |= {"scaler": fabric.strategy.precision} if params.precision == "16-mixed" else {}
    history: list[EpochRow] = []
    best: EpochRow | None = None
    best_weights: dict[str, Tensor] = {}
    if state := fabric.broadcast(checkpoint.load() if fabric.is_global_zero else None):
        for name, part in resumable.items():
            part.load_state_dict(state[name])
        history = [EpochRow(**row) for row in state["history"]]
        best, best_weights = history[state["best"]], state["best_weights"]

    builder = BatchBuilder(train_set, params)
    for epoch in range(len(history), len(history) if options.take_best else candidate.epochs):
        started, sampler.epoch = time.perf_counter(), epoch
        torch.manual_seed(derived_seed(seed, epoch, rank))
        model.train()
        unfreeze_blocks(grader, epoch=epoch, fine_tuning=candidate.fine_tuning)
        freeze_batch_norm_statistics(grader)
        losses: list[float] = []
        num_seen = 0
        bar = progress(train_loader, label=f"epoch {epoch + 1}/{candidate.epochs}", total=len(train_loader))
        for step, (images, positions) in enumerate(bar):
            with memory_advice(fabric.device, candidate, math.ceil(len(images) / num_microbatches)):
                batch = builder.build(fabric.to_device(images), positions, seed=derived_seed(seed, epoch, step, rank))
                batch = fabric.to_device(batch)
                weight = fabric.all_reduce(objective.weight(batch.targets), reduce_op="sum")
                total = torch.zeros_like(weight)
                smallest = sampler.min_per_process(step)
                microbatches = split_microbatches(batch, num_microbatches, min_per_process=smallest)
                for microbatch in microbatches:
                    with fabric.no_backward_sync(model, enabled=microbatch is not microbatches[-1]):
                        loss = model(*microbatch)
                        fabric.backward(loss * world_size / weight)  # gradients are averaged over processes
                    total += loss.detach()
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
        with memory_advice(fabric.device, candidate, val_batch):
            val_loss, qwk, qwk_error = evaluate(fabric, average.module, val_loader, val_set, objective)
        # a gradient that overflows in an epoch's last step shows here, before it would reach the checkpoint
        require_finite(val_loss, "validation loss", epoch, len(losses), optimizer, checkpoint)
        row = EpochRow(
            epoch=epoch,
            seconds=round(time.perf_counter() - started, 3),
            train_loss=round(float(np.mean(losses)), 6),
            validation_loss=round(val_loss, 6),
            validation_qwk=round(qwk, 6),
            validation_qwk_error=round(qwk_error, 6),
            learning_rate=max(group["lr"] for group in optimizer.param_groups),  # the classifier's
            images_per_s=round(num_seen / train_seconds, 1),
        )
        history.append(row)
        # The epoch that is chosen in the end was chosen when it finished: a higher one after it would be chosen itself.
        if best is None or chosen_epoch(history) is row:
            best = row
            best_weights = {name: value.detach().cpu().clone() for name, value in average.module.state_dict().items()}
        if fabric.is_global_zero:
            checkpoint.save(
                {name: part.state_dict() for name, part in resumable.items()}
                | {"history": [asdict(row) for row in history], "best": best.epoch, "best_weights": best_weights}
            )
            options.on_epoch(row)
    if best is None:
        raise DataError(
            "no epoch has finished",
            where=str(checkpoint.path),
            todo="train without --take-best, or lower the candidate's ensemble.seeds to the networks that were trained",
        )
    return FitResult(best_weights, best, tuple(history))
