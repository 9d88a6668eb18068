"""The machine: cores and memory this process may use, what it has used, and the description latencies depend on."""

import math
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from dr_pipeline.cgroup import read_limits
from dr_pipeline.errors import GateError
from dr_pipeline.files import read_json, sha256_json

SCHEMA_VERSION = 1
_PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless")
_FINGERPRINT_DIGITS = 16
_GIB = 1 << 30
_POWERCAP = Path("/sys/class/powercap")  # Linux: kernel.org/doc/html/latest/power/powercap/powercap.html
# Measured on PNG files of 12 megapixels, of which scoring decodes every pixel: 81 to 103 MiB per thread.
_MEMORY_PER_THREAD = 100 << 20
# The same in a process of its own that writes canvases: 155 MiB, the interpreter and its libraries among them.
_MEMORY_PER_PROCESS = 200 << 20


def usable_cores() -> int:
    """Cores that this process may use: those it may run on, or a container's share of computing time if that is less.

    A share is rounded up: of 1.5 cores, two threads use all.
    """
    return max(1, min(_runnable_cores(), _rounded_up(read_limits().cores)))


def usable_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or a container's limit if that is less."""
    return int(min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), read_limits().memory_bytes))


def usable_threads() -> int:
    """Threads that each decode photographs: one per usable core, as many as half of the usable memory holds."""
    return max(1, min(usable_cores(), usable_memory() // 2 // _MEMORY_PER_THREAD))


def usable_processes() -> int:
    """Processes that each decode photographs: one per usable core, as many as half of the usable memory holds."""
    return max(1, min(usable_cores(), usable_memory() // 2 // _MEMORY_PER_PROCESS))


def peak_memory_mib() -> float | None:
    """The most memory that this process has held; None where the system does not state it.

    Not ru_maxrss, which also holds that of the process that started this one.
    """
    try:
        _, _, rest = Path("/proc/self/status").read_text(encoding="ascii").partition("VmHWM:")
    except OSError:
        return None
    return int(rest.split()[0]) / 1024 if rest else None


def read_energy(root: Path = _POWERCAP) -> dict[str, tuple[int, int]]:
    """The energy counter of each processor and the value at which it starts again, microjoules (RAPL).

    Empty where there is none, or only an administrator may read it.
    """
    counters = {}
    for package in sorted(root.glob("intel-rapl:*")):
        if package.name.count(":") == 1:  # further numbers are parts of a processor
            try:
                names = ("energy_uj", "max_energy_range_uj")
                counter, limit = (int((package / name).read_text(encoding="ascii")) for name in names)
            except (OSError, ValueError):
                return {}
            counters[package.name] = (counter, limit)
    return counters


def energy_j(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> float | None:
    """Joules between two results of `read_energy`; None where there are no counters."""
    if not before or before.keys() != after.keys():
        return None
    return sum((after[name][0] - counter) % (limit + 1) for name, (counter, limit) in before.items()) / 1e6


def limit_library_threads() -> None:
    """Keeps the libraries' own threads (torch, BLAS) within a container's share of computing time.

    They count the cores that they may run on: 64 threads for a share of two cores wait for each other. Must run before
    they are imported. A value that the user has set stays.
    """
    if (cores := usable_cores()) < _runnable_cores():
        os.environ.setdefault("OMP_NUM_THREADS", str(cores))


def _runnable_cores() -> int:
    """Cores that the scheduler may give this process, which `taskset` or a container's set can make fewer."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rounded_up(cores: float) -> int:
    return math.ceil(cores) if math.isfinite(cores) else _runnable_cores()


def describe_machine() -> dict[str, Any]:
    """Describes the machine in less than 0.1 s, with the same words each time; no host name, no serial number.

    Returns:
        The facts, and `fingerprint`: 16 hexadecimal digits over them. Latencies compare only where it is equal.
    """
    facts: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "cpu": _cpu_model(Path("/proc/cpuinfo")),
        "usable_cores": usable_cores(),
        "logical_cores": os.cpu_count() or 1,
        "memory_gib": _whole_gib(usable_memory()),
        "system": platform.system(),
        "architecture": platform.machine(),
        "gpus": _gpu_models(Path("/proc/driver/nvidia/gpus")),
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in _PACKAGES},
    }
    return facts | {"fingerprint": sha256_json(facts)[:_FINGERPRINT_DIGITS]}


def require_same_machine(description: Path) -> dict[str, Any]:
    """The description of this machine, which must be the one in the file.

    Raises:
        DataError: The file is missing.
        GateError: This machine is another.
    """
    stated, machine = read_json(description), describe_machine()
    if stated != machine:
        differing = [key for key in machine if key != "fingerprint" and stated.get(key) != machine[key]]
        raise GateError(
            f"this machine is not the one described; other: {', '.join(differing) or 'the entries'}",
            where=str(description),
            todo="dvc repro, which describes the machine first",
        )
    return machine


def installed_version(package: str) -> str:
    """Version of an installed package, read without importing it; "absent" where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _whole_gib(memory_bytes: int) -> float:
    """Rounded, since kernels keep different parts for themselves; to a tenth where whole ones say too little."""
    gib = memory_bytes / _GIB
    return round(gib) if gib >= 2 else round(gib, 1)


def _cpu_model(cpuinfo: Path) -> str:
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _gpu_models(driver: Path) -> list[str]:
    """Models by the NVIDIA driver's own files; `nvidia-smi` says the same but can take a second."""
    models = []
    for information in sorted(driver.glob("*/information")):
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "Model":
                models.append(value.strip())
    return models
