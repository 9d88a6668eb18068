"""A candidate's formats: each written one is a candidate of its own, such as `lite0/onnx-int8`.

It lies in a folder of its name below the candidate's, in `data/exports` and `data/validation` alike. A cascade of two
candidates or formats, such as `lite0+lite1.onnx-int8`, has a folder in `data/cascades` with what both stages write.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.files import read_json

REFUSAL = "refusal"  # in the export.json of a format that could not be written: why
EXPORT = "export.json"
FLOAT32_FORMAT = "onnx"
CASCADE_FORMAT = "cascade"
_JOINED = "+"


def format_name(candidate: str, folder: str) -> str:
    """`lite0` or `lite0/onnx-int8`: the name in reports, and the path below `data/exports`."""
    return f"{candidate}/{folder}" if folder else candidate


def candidate_of(name: str) -> str:
    """The candidate of params.yaml that a name belongs to."""
    return name.partition("/")[0]


def cascade_name(small: str, large: str) -> str:
    """The name of two networks in a row."""
    return _JOINED.join(name.replace("/", ".") for name in (small, large))


def is_cascade(name: str) -> bool:
    """Whether a name is that of two networks in a row."""
    return _JOINED in name


def written_formats(export: Path) -> list[str]:
    """The folders of an exported candidate that hold a network: "", which is float32 itself, then its other formats."""
    return ["", *(name for name, facts in _formats(export) if REFUSAL not in facts)]


def unwritten_formats(export: Path) -> dict[str, dict[str, Any]]:
    """The export.json of each format that could not be written, by folder."""
    return {name: facts for name, facts in _formats(export) if REFUSAL in facts}


def require_exported(export: Path, names: Sequence[str]) -> None:
    """Raises DataError where a format of params.yaml is missing in an exported candidate's folder."""
    there = {FLOAT32_FORMAT, *(name for name, _ in _formats(export))}
    if missing := [name for name in names if name not in there]:
        raise DataError(f"not exported as {', '.join(missing)}", where=str(export), todo="dvc repro export")


def _formats(export: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(path.parent.name, read_json(path)) for path in sorted(export.glob(f"*/{EXPORT}"))]
