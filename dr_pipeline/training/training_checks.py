"""Checks around the training loop: data and batch size, a finite loss, and advice when memory runs out."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dr_pipeline.errors import DataError, EnvironmentProblem, GateError, ParamsError
from dr_pipeline.machine import usable_memory
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.schema import GRADES
from dr_pipeline.training.checkpoint import Checkpoint


def check_trainable(grader: nn.Module, train_grades: Sequence[int], val_grades: Sequence[int], microbatch: int) -> None:
    """Checks that the data and the batch size allow a useful training.

    Args:
        grader: Only the types of its layers matter.
        train_grades: Of the training photographs.
        val_grades: Of the validation photographs.
        microbatch: Photographs in a microbatch on one process.

    Raises:
        DataError: A grade of the validation photographs has no training photograph. A grade in neither is no error
            here: every report states it.
        ParamsError: A microbatch has fewer than two photographs, from which batch normalisation has no variance.
    """
    counts = {grade: list(train_grades).count(grade) for grade in GRADES}
    if missing := [grade for grade in GRADES if grade in val_grades and not counts[grade]]:
        raise DataError(
            f"no training photograph of grade {', '.join(map(str, missing))}; photographs by grade: {counts}",
            where="the training part of the fold",
            todo="remake the split with `dvc repro split`; add photographs of that grade, or lower split.num_folds",
        )
    if microbatch < 2 and any(isinstance(module, _BatchNorm) for module in grader.modules()):
        raise ParamsError(
            f"batch normalisation needs at least 2 photographs at once, found {microbatch}",
            where="candidates: batch_photographs / (memory.accumulation × processes)",
            todo="raise batch_photographs, or lower memory.accumulation; about 8 at once give steady statistics",
        )


def require_finite(loss: float, name: str, epoch: int, step: int, optimizer: Any, checkpoint: Checkpoint) -> None:
    """Stops a training whose loss is not finite.

    Raises:
        GateError: Names the epoch, the step, the learning rate and what is saved.
    """
    if math.isfinite(loss):
        return
    rate = max(group["lr"] for group in optimizer.param_groups)
    saved = f"{checkpoint.path} holds the last good weights, of epoch {epoch}"
    raise GateError(
        f"the {name} is {loss} at epoch {epoch + 1}, step {step}, learning rate {rate:.3g}",
        where=saved if epoch else "no epoch has finished",
        todo="lower the candidate's learning_rate in params.yaml, first to a tenth",
    )


@contextmanager
def memory_advice(device: torch.device, candidate: Candidate, num_photographs: int | None = None) -> Iterator[None]:
    """Turns an out-of-memory error inside the block into advice; of nested blocks, the inner one reports.

    Args:
        device: Where the block computes.
        candidate: Whose batch and input size to change.
        num_photographs: In the batch; None where the block does more than compute a batch.

    Raises:
        EnvironmentProblem: The block ran out of memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # on a CPU torch raises a plain RuntimeError, recognised only by its text
        exhausted = isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
        if not exhausted:
            raise
        # a GPU's error has its own type; any other concerns the machine's memory, even where there is a GPU
        full = device if isinstance(error, torch.OutOfMemoryError) else torch.device("cpu")
        attempt = f"{candidate.model} at {candidate.input_px} px"
        if num_photographs is not None:
            attempt = f"{num_photographs} photographs of {candidate.input_px} px at once ({candidate.model})"
        smaller = _smaller(candidate, with_gradients=num_photographs is not None)
        raise EnvironmentProblem(
            f"out of memory with {attempt}; {_memory(full)}",
            where=str(full),
            todo=f"in the candidate's section of params.yaml {smaller}",
        ) from error


def _smaller(candidate: Candidate, *, with_gradients: bool) -> str:
    """Ways to reduce the memory of a training step, or of computations around the steps; the cheapest first."""
    batch, parts = candidate.batch_photographs, candidate.memory.accumulation
    ways = []
    if batch // (2 * parts) >= 2:
        ways.append(f"raise memory.accumulation from {parts} to {2 * parts} (the same batch in more microbatches)")
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
    return f"this process may use {usable_memory() / 2**30:.1f} GiB"
