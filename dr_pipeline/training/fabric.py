"""Fabric for the devices and processes of this machine, and the grader prepared for training on them."""

import os
from typing import Literal

import torch
from lightning_fabric import Fabric, seed_everything
from lightning_fabric.strategies import DDPStrategy
from torch import nn

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.machine import usable_processes
from dr_pipeline.models.grader import Grader
from dr_pipeline.models.layer_groups import enable_gradient_checkpointing
from dr_pipeline.models.norms import sync_batch_norm
from dr_pipeline.params.candidate import Candidate, FineTuning

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


def make_fabric(precision: Precision, fine_tuning: FineTuning) -> Fabric:
    """Fabric for this process: one of several under `torchrun` or `fabric run`, else the only one, on one device.

    Several processes share each batch and average their gradients (DistributedDataParallel).

    Args:
        precision: `auto` selects bfloat16 where the GPU supports it, else 32 bit.
        fine_tuning: While layers are frozen, the processes must check which parameters have a gradient.

    Raises:
        EnvironmentProblem: `fabric run` was given another precision, strategy or accelerator than this training has.
    """
    _leave_fabric_run(precision)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        return one_device(precision)
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    frozen = fine_tuning.frozen_epochs + fine_tuning.thaw_epochs > 0
    fabric = Fabric(
        accelerator=_accelerator(),
        devices=local,
        num_nodes=processes // local,
        strategy=DDPStrategy(find_unused_parameters=frozen),
        precision=_precision(precision),
    )
    fabric.launch()
    return fabric


def one_device(precision: Precision = "32-true") -> Fabric:
    """The first GPU where there is one, else the CPU."""
    return Fabric(accelerator=_accelerator(), devices=1, precision=_precision(precision))


def set_determinism(seed: int) -> None:
    """Seeds Python, NumPy and torch, and has cuDNN select its algorithms by rule instead of by time.

    As MONAI's function of this name, whose import of all of MONAI would cost each training seconds.
    """
    seed_everything(seed % 2**32, verbose=False)  # NumPy takes no more
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def _leave_fabric_run(precision: Precision) -> None:
    """Removes the settings of `fabric run` from the environment, so that it acts as the `torchrun` that it calls.

    They would apply to every Fabric of this process, even to one for a single device.
    """
    accelerators = {"gpu", "cuda", "auto"} if torch.cuda.is_available() else {"cpu", "auto"}
    for option, allowed in (
        ("strategy", {"ddp", "auto"}),
        ("precision", {_precision(precision)}),
        ("accelerator", accelerators),
    ):
        requested = os.environ.pop(f"LT_{option.upper()}", None)
        if requested is not None and requested not in allowed:
            raise EnvironmentProblem(
                f"`fabric run --{option}={requested}` is not possible here",
                todo="omit the option: the strategy is ddp, training.precision in params.yaml sets the precision, and "
                "the GPUs in CUDA_VISIBLE_DEVICES are used",
            )
    for name in ("LT_CLI_USED", "LT_DEVICES", "LT_NUM_NODES"):
        os.environ.pop(name, None)


def _accelerator() -> str:
    return "gpu" if torch.cuda.is_available() else "cpu"


def _precision(precision: Precision) -> str:
    if precision != "auto":
        return precision
    return "bf16-mixed" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32-true"


def prepare_grader(fabric: Fabric, grader: Grader, candidate: Candidate) -> Grader:
    """Prepares a grader for training: channels last, and gradient checkpointing where the candidate sets it.

    On several GPUs batch normalisation is synchronised. torch has no such layer for CPUs: there each process uses the
    statistics of its own photographs, and the running statistics of the first are kept.
    """
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        grader = sync_batch_norm(grader)
    if candidate.memory.gradient_checkpointing:  # last: its hooks must be on the layers that are trained
        enable_gradient_checkpointing(grader)
    return grader.to(memory_format=torch.channels_last)


def require_compiler(device: torch.device) -> None:
    """Compiles one addition, so that a missing compiler is reported before the network is built.

    Raises:
        EnvironmentProblem: torch.compile finds no C++ compiler, or it fails.
    """
    try:
        torch.compile(lambda numbers: numbers + 1)(torch.zeros(2, device=device))
    except Exception as error:  # dynamo, inductor, Triton and the compiler each raise their own types
        reason = str(error).strip().partition("\n")[0]
        raise EnvironmentProblem(
            f"torch.compile does not work here: {reason or type(error).__name__}",
            where="training.compile in params.yaml",
            todo="install a C++ compiler (Debian: apt-get install g++), or set training.compile: false",
        ) from error


def num_loader_workers(fabric: Fabric) -> int:
    """Number of loader processes of this process: its part of the cores and memory for a GPU, none for a CPU.

    On a CPU a loader process takes a core from the network: 23 instead of 30 photographs/s on two cores
    (EfficientNet-Lite0, 192 px), while augmenting in the same process takes 0.9 ms per photograph.
    """
    if fabric.device.type == "cpu":
        return 0
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # all of them on the same cores
    return max(1, min(16, usable_processes() // processes))


def device_name(fabric: Fabric) -> str:
    """The name of the device, with the number of processes, for reports."""
    on_gpu = fabric.device.type == "cuda"
    name = torch.cuda.get_device_name(fabric.device) if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    return name if fabric.world_size == 1 else f"{fabric.world_size} × {name}"


def share_buffers(fabric: Fabric, model: nn.Module) -> None:
    """Copies the buffers of the first process to all others: running statistics differ between processes."""
    if fabric.world_size == 1:
        return
    buffers = dict(model.named_buffers())
    for name, buffer in fabric.broadcast({name: buffer.cpu() for name, buffer in buffers.items()}).items():
        buffers[name].copy_(buffer)
