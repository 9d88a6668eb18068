"""Around the loop: what cannot be trained, what stops a training, and advice when memory runs out."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dr_pipeline.errors import DataError, EnvironmentProblem, GateError, ParamsError
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.schema import GRADES
from dr_pipeline.training.checkpoint import Checkpoint


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
def memory_advice(device: torch.device, candidate: Candidate, num_photographs: int) -> Iterator[None]:
    """Turns out-of-memory inside the block into a proposal.

    Args:
        device: Where the block computes.
        candidate: Whose batch and input size to change.
        num_photographs: Computed at once.

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
        raise EnvironmentProblem(
            f"out of memory with {num_photographs} photographs of {candidate.input_px} px at once "
            f"({candidate.model}); {_memory(device)}",
            where=str(device),
            todo=f"in the candidate's section of params.yaml {_smaller(candidate)}",
        ) from error


def _smaller(candidate: Candidate) -> str:
    """What makes a training step smaller, the changes that cost least first."""
    batch, parts = candidate.batch_photographs, candidate.memory.accumulation
    ways = []
    if batch // (2 * parts) >= 2:
        ways.append(f"raise memory.accumulation from {parts} to {2 * parts} (the same batch in more parts)")
    if not candidate.memory.gradient_checkpointing:
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
