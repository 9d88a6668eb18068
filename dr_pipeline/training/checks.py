"""Around the loop: what cannot be trained, what stops a training and is kept then, and advice when memory runs out."""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dr_pipeline.errors import DataError, EnvironmentProblem, GateError, ParamsError
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.schema import GRADES
from dr_pipeline.training.checkpoint import Checkpoint, Kept


def check_trainable(
    grader: nn.Module, grades: Sequence[int], validation_grades: Sequence[int], photographs_at_once: int
) -> None:
    """Refuses what would train to nonsense.

    Args:
        grader: Only the kind of its layers matters.
        grades: Of the training photographs.
        validation_grades: Of the validation photographs.
        photographs_at_once: Of a batch, in one part on one process.

    Raises:
        DataError: A grade is validated that has no training photograph. One that is in neither is no fault here: the
            data hold none, and every report says so.
        ParamsError: Fewer than two photographs at once, which gives batch normalisation no variance.
    """
    counts = {grade: list(grades).count(grade) for grade in GRADES}
    if missing := [grade for grade in GRADES if grade in validation_grades and not counts[grade]]:
        raise DataError(
            f"no photograph of grade {', '.join(map(str, missing))} to learn from; photographs by grade: {counts}",
            where="the training part of the fold",
            todo="remake the split with `dvc repro split`; add photographs of that grade, or lower split.num_folds",
        )
    if photographs_at_once < 2 and any(isinstance(module, _BatchNorm) for module in grader.modules()):
        raise ParamsError(
            f"batch normalisation needs at least 2 photographs at once, found {photographs_at_once}",
            where="candidates: batch_photographs / (memory.accumulation × processes)",
            todo="raise batch_photographs, or lower memory.accumulation; about 8 at once give steady statistics",
        )


def require_finite(loss: float, name: str, epoch: int, step: int, optimizer: Any, checkpoint: Checkpoint) -> None:
    """Stops a training whose loss has left the numbers.

    Raises:
        GateError: Names the epoch, the step, the learning rate and what is kept.
    """
    if math.isfinite(loss):
        return
    rate = max(group["lr"] for group in optimizer.param_groups)
    kept = f"{checkpoint.path} keeps the last good weights, of epoch {epoch}"
    raise GateError(
        f"the {name} is {loss} at epoch {epoch + 1}, step {step}, learning rate {rate:.3g}",
        where=kept if epoch else "no epoch is finished",
        todo="lower the candidate's learning_rate in params.yaml, to a tenth for a start",
    )


@contextmanager
def kept_when_stopped(fabric: Fabric, checkpoint: Checkpoint, candidate: Candidate, to_stop: str) -> Iterator[None]:
    """Keeps the best finished epoch apart when the block is stopped, and says where.

    The checkpoint alone would not keep it: the next training with other parameters writes over it.

    Args:
        fabric: The first process writes, and speaks of an interruption.
        checkpoint: Of the finished epochs.
        candidate: Its schedule.
        to_stop: How to end with the epochs there are; empty where there is no way.

    Raises:
        KeyboardInterrupt: After a sentence on standard error: what is kept, how to go on, how to stop here.
        GateError: The block's own, of a loss that is not finite, which now says the same; on each process alike.
    """
    try:
        yield
    except KeyboardInterrupt:
        if fabric.is_global_zero:
            sys.stderr.write(f"\n{_interrupted(checkpoint.keep_best(), candidate, to_stop)}\n")
        raise
    except GateError as error:
        # all wait for the first: once another process has ended, the launcher ends that one too, even while it writes
        kept = fabric.broadcast(checkpoint.keep_best() if fabric.is_global_zero else None)
        if kept is None:
            raise
        raise _diverged(error, kept, to_stop) from error


def _interrupted(kept: Kept | None, candidate: Candidate, to_stop: str) -> str:
    if kept is None:
        return "interrupted before the first epoch was finished: nothing is kept"
    return (
        f"interrupted after epoch {kept.num_epochs} of {candidate.epochs}; the best is epoch {kept.epoch + 1}, "
        f"validation QWK {kept.qwk:.3f}\n"
        f"  kept: {kept.path}\n"
        "  to go on: run the same command again" + (f"\n  to stop here: {to_stop}" if to_stop else "")
    )


def _diverged(error: GateError, kept: Kept, to_stop: str) -> GateError:
    instead = f"; or change nothing and, to end with the finished epochs, {to_stop}" if to_stop else ""
    return GateError(
        error.what,
        where=f"{kept.path} keeps the best of {kept.num_epochs} finished epochs: epoch {kept.epoch + 1}, validation "
        f"QWK {kept.qwk:.3f}",
        todo=f"{error.todo}: training then starts anew, and that file stays{instead}",
    )


@contextmanager
def memory_advice(device: torch.device, candidate: Candidate, num_photographs: int | None = None) -> Iterator[None]:
    """Turns out-of-memory inside the block into a proposal; of two blocks, one in the other, the inner one speaks.

    Args:
        device: Where the block computes.
        candidate: Whose batch and input size to change.
        num_photographs: Computed at once; None where the block does more than compute photographs.

    Raises:
        EnvironmentProblem: The block ran out of memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # on a CPU torch raises a plain RuntimeError, told only by its text
        exhausted = isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
        if not exhausted:
            raise
        # a GPU's is told by its type; what is left is this machine's, also where there is a GPU
        full = device if isinstance(error, torch.OutOfMemoryError) else torch.device("cpu")
        asked = f"{candidate.model} at {candidate.input_px} px"
        if num_photographs is not None:
            asked = f"{num_photographs} photographs of {candidate.input_px} px at once ({candidate.model})"
        smaller = _smaller(candidate, with_gradients=num_photographs is not None)
        raise EnvironmentProblem(
            f"out of memory with {asked}; {_memory(full)}",
            where=str(full),
            todo=f"in the candidate's section of params.yaml {smaller}",
        ) from error


def _smaller(candidate: Candidate, *, with_gradients: bool) -> str:
    """What makes a training step, or what is computed around the steps, smaller: what costs least comes first."""
    batch, parts = candidate.batch_photographs, candidate.memory.accumulation
    ways = []
    if batch // (2 * parts) >= 2:
        ways.append(f"raise memory.accumulation from {parts} to {2 * parts} (the same batch in more parts)")
    if with_gradients and not candidate.memory.gradient_checkpointing:
        ways.append("set memory.gradient_checkpointing: true (one more forward pass in each step)")
    if batch >= 4:
        ways.append(f"lower batch_photographs from {batch} to {batch // 2} (and the learning rate with it)")
    return ", ".join([*ways, "lower input_px", "or take a smaller model"])


def _memory(device: torch.device) -> str:
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        peak = torch.cuda.max_memory_allocated(device)
        return f"{peak / 2**30:.1f} GiB were used at most, {free / 2**30:.1f} of {total / 2**30:.1f} GiB are free"
    return f"this machine has {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"
