"""The machine: the cores this process may use, and the description that latency figures depend on."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from dr_pipeline.errors import GateError
from dr_pipeline.files import read_json, sha256_json

SCHEMA_VERSION = 1
_PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless")
_FINGERPRINT_DIGITS = 16
_GIB = 1 << 30


def usable_cores() -> int:
    """Cores that this process may run on, which a container or `taskset` can make fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB),
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
