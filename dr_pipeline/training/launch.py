"""Before and around the loop: Fabric for this machine, what cannot be trained, and advice when memory runs out."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dr_pipeline.cores import usable_cores
from dr_pipeline.errors import DataError, EnvironmentProblem, ParamsError
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.schema import GRADES

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


def make_fabric(precision: Precision) -> Fabric:
    """One device: the first GPU where there is one, else the CPU. `auto` takes bfloat16 where the GPU has it."""
    on_gpu = torch.cuda.is_available()
    if precision == "auto":
        precision = "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"
    return Fabric(accelerator="gpu" if on_gpu else "cpu", devices=1, precision=precision)


def num_loader_workers(fabric: Fabric) -> int:
    """Loader processes: every usable core for a GPU, none for a CPU.

    On a CPU a loader process takes a core from the network: 23 instead of 30 photographs/s on two cores
    (EfficientNet-Lite0, 192 px), while augmenting in the same process costs 0.7 ms a photograph.
    """
    if fabric.device.type == "cpu":
        return 0
    return min(16, usable_cores())


def device_name(fabric: Fabric) -> str:
    """What the training ran on, for reports."""
    if fabric.device.type == "cuda":
        return torch.cuda.get_device_name(fabric.device)
    return f"CPU, {torch.get_num_threads()} threads"


def check_trainable(
    grader: nn.Module, grades: Sequence[int], validation_grades: Sequence[int], batch_photographs: int
) -> None:
    """Refuses what would train to nonsense.

    Args:
        grader: Only the kind of its layers matters.
        grades: Of the training photographs.
        validation_grades: Of the validation photographs.
        batch_photographs: As the candidate asks.

    Raises:
        DataError: A grade is validated that has no training photograph. One that is in neither is no fault here: the
            data hold none, and every report says so.
        ParamsError: One photograph a batch, which gives batch normalisation no variance.
    """
    counts = {grade: list(grades).count(grade) for grade in GRADES}
    if missing := [grade for grade in GRADES if grade in validation_grades and not counts[grade]]:
        raise DataError(
            f"no photograph of grade {', '.join(map(str, missing))} to learn from; photographs by grade: {counts}",
            where="the training part of the fold",
            todo="remake the split with `dvc repro split`; add photographs of that grade, or lower split.num_folds",
        )
    if batch_photographs < 2 and any(isinstance(module, _BatchNorm) for module in grader.modules()):
        raise ParamsError(
            "batch normalisation needs at least 2 photographs a batch",
            where=f"candidates: batch_photographs {batch_photographs}",
            todo="raise batch_photographs to 2 or more; about 8 give steady statistics",
        )


@contextmanager
def memory_advice(device: torch.device, candidate: Candidate, num_photographs: int) -> Iterator[None]:
    """Turns out-of-memory inside the block into a proposal.

    Args:
        device: Where the block computes.
        candidate: Whose batch and input size to change.
        num_photographs: In the batch at hand.

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
        batch = candidate.batch_photographs
        smaller = (
            f"batch_photographs from {batch} to {batch // 2}" if batch >= 4 else "input_px, or take a smaller model"
        )
        raise EnvironmentProblem(
            f"out of memory with {num_photographs} photographs of {candidate.input_px} px at once "
            f"({candidate.model}); {_memory(device)}",
            where=str(device),
            todo=f"lower the candidate's {smaller} in params.yaml",
        ) from error


def _memory(device: torch.device) -> str:
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        peak = torch.cuda.max_memory_allocated(device)
        return f"{peak / 2**30:.1f} GiB were used at most, {free / 2**30:.1f} of {total / 2**30:.1f} GiB are free"
    return f"this machine has {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"
