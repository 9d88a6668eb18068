"""The manifest of a run: evidence of what was scored, with what, where and when, beside the table."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dr_pipeline import __version__
from dr_pipeline.bundle.identity import BundleIdentity
from dr_pipeline.errors import DataError
from dr_pipeline.files import atomic_write, canonical_json, read_json, sha256_file
from dr_pipeline.machine import describe_machine
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.scoring.journal import Journal
from dr_pipeline.scoring.outputs import lesion_paths

SCHEMA_VERSION = 1
_PARTS = {"settings", "bundle", "inputs", "rows", "outputs"}


def manifest_path(out: Path) -> Path:
    """Where the manifest of the table `out` is."""
    return out.with_name(f"{out.name}.manifest.json")


def read_manifest(out: Path) -> dict[str, Any]:
    """The manifest beside the table `out`.

    Raises:
        DataError: It is missing, damaged, or another version's.
    """
    path, value = manifest_path(out), None
    if not path.is_file():
        raise DataError("the table has no manifest beside it", where=str(path), todo="copy it together with the table")
    with suppress(DataError):  # no JSON
        value = read_json(path)
    if not isinstance(value, dict) or value.get("schema_version") != SCHEMA_VERSION or not value.keys() >= _PARTS:
        raise DataError(
            "not the manifest of a run, as this version writes it",
            where=str(path),
            todo="copy it again, or remove it and score the photographs again",
        )
    return value


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_manifest(out: Path, journal: Journal, bundle: BundleIdentity, settings: Mapping[str, Any]) -> Path:
    """Writes the manifest of the run whose table is `out`; only its owner may read it.

    Args:
        out: The finished table.
        journal: The run's.
        bundle: The run's.
        settings: What the rows depend on.

    Returns:
        Where it is.
    """
    listing = journal.listing
    value: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "use": RESEARCH_USE,
        "dr_pipeline": __version__,
        "machine": describe_machine(),
        "sessions": [*(journal.fact("sessions") or [])[:-1], {**(journal.fact("sessions") or [{}])[-1], "end": now()}],
        "settings": dict(settings),
        "bundle": {"bundle_id": bundle.bundle_id, "sha256": bundle.sha256},
        "inputs": {
            "files": listing.count if listing else journal.total,
            "left_out": listing.left_out if listing else {},
            "sha256": _inputs_sha256(journal),
        },
        "rows": {
            "number": journal.finished,
            "duplicates": journal.duplicates(),
            "nameless": journal.nameless(),
            **{status.value: number for status, number in journal.by_status().items()},
        },
        "outputs": {out.name: sha256_file(out)},
    }
    if settings.get("lesions"):
        value["outputs"] |= {path.name: sha256_file(path) for path in lesion_paths(out)}
        value["lesions"] = {"seconds": _seconds(journal.lesion_seconds())}
    path = manifest_path(out)
    with atomic_write(path, private=True) as stream:
        stream.write(canonical_json(value).encode())
    return path


def _seconds(times: Sequence[float]) -> dict[str, Any]:
    """How long the lesions of a photograph took, beside its grading."""
    if not times:
        return {"n": 0}
    ordered = sorted(times)
    return {
        "n": len(times),
        "mean": round(sum(times) / len(times), 4),
        "median": round(ordered[len(times) // 2], 4),
        "p95": round(ordered[int(0.95 * (len(times) - 1))], 4),
    }


def _inputs_sha256(journal: Journal) -> str:
    """One hash over hash and relative path of every file, in order, as `sha256sum` writes them."""
    digest = hashlib.sha256()
    for scored in journal.scored():
        digest.update(f"{scored.score.sha256:64}  {scored.entry.relative}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
