"""The file that `bench latency` writes on one machine, and that `select` takes as the machine to select for.

It holds the machine and, by the hash of model.onnx, the figures of each network that was measured there.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import canonical_json, read_json, write_text
from dr_pipeline.schema import RESEARCH_USE

SCHEMA_VERSION = 1
_NUMBERS = ("mean_ms", "p50_ms", "p95_ms", "p99_ms")
_KEYS = (*_NUMBERS, "n", "threads", "steps_ms", "peak_memory_mib", "photographs_sha256")


@dataclass(frozen=True)
class LatencyFile:
    """Attributes:
    machine: As `describe_machine` gives it.
    networks: Figures by the SHA-256 of model.onnx.
    """

    machine: Mapping[str, Any]
    networks: Mapping[str, Mapping[str, Any]]


def add_network(path: Path, machine: Mapping[str, Any], sha256: str, figures: Mapping[str, Any]) -> None:
    """Adds a network to the file, or writes it first; figures of the same network are replaced.

    Raises:
        GateError: The file was written on another machine.
        DataError: There is another file at `path`.
    """
    networks: dict[str, Any] = {}
    if path.exists():
        present = read_latency_file(path)
        require_machine_of(path, present, machine)
        networks = dict(present.networks)
    document = {
        "schema_version": SCHEMA_VERSION,
        "research_use": RESEARCH_USE,
        "machine": machine,
        "networks": networks | {sha256: dict(figures)},
    }
    write_text(path, canonical_json(document), private=True)


def require_machine_of(path: Path, present: LatencyFile, machine: Mapping[str, Any]) -> None:
    """Raises GateError where the file was written on another machine, or with other packages."""
    if present.machine["fingerprint"] != machine["fingerprint"]:
        differing = [
            key for key, value in machine.items() if present.machine.get(key) != value and key != "fingerprint"
        ]
        raise GateError(
            f"written on another machine; other: {', '.join(differing) or 'the entries'}",
            where=str(path),
            todo="name a new file: latencies of different machines do not compare",
        )


def read_latency_file(path: Path) -> LatencyFile:
    """Reads what `add_network` wrote.

    Raises:
        DataError: The file is missing, is something else, or of another version.
    """
    value = read_json(path)
    todo = "measure with `dr-pipeline bench latency FOLDER --bundle DIR --out FILE`"
    if not isinstance(value, dict) or not {"machine", "networks"} <= set(value):
        raise DataError("not a file of `bench latency`", where=str(path), todo=todo)
    if value.get("schema_version") != SCHEMA_VERSION:
        raise DataError(
            f"of version {value.get('schema_version')!r}; this program reads {SCHEMA_VERSION}",
            where=str(path),
            todo=todo,
        )
    machine, networks = value["machine"], value["networks"]
    if not isinstance(machine, dict) or not isinstance(machine.get("fingerprint"), str):
        raise DataError("states no machine", where=str(path), todo=todo)
    if not isinstance(networks, dict) or not networks or not all(_is_measured(item) for item in networks.values()):
        raise DataError("the figures of a network are missing or malformed", where=str(path), todo=todo)
    return LatencyFile(machine, networks)


def _is_measured(figures: Any) -> bool:
    if not isinstance(figures, dict) or not set(_KEYS) <= set(figures):
        return False
    numbers = [figures[key] for key in _NUMBERS]
    return all(isinstance(number, int | float) and math.isfinite(number) and number > 0 for number in numbers)
