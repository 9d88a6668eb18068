"""Fabric for this machine: device, precision, loader processes."""

from typing import Literal

import torch
from lightning_fabric import Fabric

from dr_pipeline.cores import usable_cores

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
