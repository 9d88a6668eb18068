"""What a training's size depends on besides the data: the machine's cores, memory, GPU and compiler."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from dr_pipeline.machine import usable_cores

_GIB = 1 << 30
_COMPILERS = ("c++", "g++", "clang++")
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Machine:
    """A machine as planning sees it.

    Attributes:
        cores: That this process may use.
        memory_gib: Main memory, or a container's limit where that is less.
        gpu: The first GPU's name; empty where there is none.
        gpu_memory_gib: Its memory; 0 where there is none.
        compiler: Whether there is a C++ compiler, which torch.compile needs on a CPU.
    """

    cores: int
    memory_gib: float
    gpu: str
    gpu_memory_gib: float
    compiler: bool

    @property
    def training_memory_gib(self) -> float:
        """Where a batch must fit."""
        return self.gpu_memory_gib if self.gpu else self.memory_gib


def this_machine() -> Machine:
    """Describes the machine that plans; it is taken for the one that trains."""
    on_gpu = torch.cuda.is_available()
    properties = torch.cuda.get_device_properties(0) if on_gpu else None
    return Machine(
        cores=usable_cores(),
        memory_gib=round(_memory_bytes(_CONTAINER_LIMIT) / _GIB, 1),
        gpu=properties.name if properties else "",
        gpu_memory_gib=round(properties.total_memory / _GIB, 1) if properties else 0.0,
        compiler=any(shutil.which(name) for name in _COMPILERS),
    )


def _memory_bytes(container_limit: Path) -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    told = container_limit.read_text(encoding="ascii").strip() if container_limit.is_file() else "max"
    return min(physical, int(told)) if told.isdecimal() else physical
