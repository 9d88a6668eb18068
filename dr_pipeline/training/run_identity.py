"""What a training rests on beside its values and its photographs: code, libraries, and files that its values name."""

import ast
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dr_pipeline
from dr_pipeline.files import sha256_file, sha256_json
from dr_pipeline.models.weights.checkpoint_files import checkpoint_files, checkpoint_sha256

# Rooms and files whose code decides what a network learns and answers; of `bundle` what a teacher is run by.
_CODE = (
    "bundle/read.py",
    "bundle/session.py",
    "canvases",
    "fundus",
    "metrics",
    "models",
    "splitting/read.py",
    "training",
)
_PACKAGES = ("albumentations", "numpy", "onnxruntime", "opencv-python-headless", "timm", "torch")


def provenance(weights: str, teacher: str, *, more_code: Sequence[str] = ()) -> dict[str, Any]:
    """Hashes of first weights, teacher and code, and the libraries' versions, for the key of what is kept.

    Args:
        weights: As a candidate names its first weights.
        teacher: As `training.distillation` names it.
        more_code: See `code_sha256`.

    Raises:
        ParamsError: A folder of first weights does not hold one index of shards.
        DataError: An index of shards cannot be read, or a shard is missing.
    """
    return {
        "weights_sha256": _content_sha256(weights),
        "teacher_sha256": _content_sha256(teacher),
        "code_sha256": code_sha256(*more_code),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of the libraries that compute what a network learns and answers."""
    return {package: version(package) for package in _PACKAGES}


@cache
def code_sha256(*more: str) -> str:
    """Hash of what the source files do that decide a training: comments and docstrings are no part of it.

    Args:
        more: Further files, as paths inside the package: of who trains, and adds something to the result.
    """
    package = Path(dr_pipeline.__file__).parent
    places = [package / name for name in (*_CODE, *more)]
    paths = sorted(path for place in places for path in (place.rglob("*.py") if place.is_dir() else (place,)))
    return sha256_json({path.relative_to(package).as_posix(): meaning(path.read_text("utf-8")) for path in paths})


def meaning(source: str) -> str:
    """Python source without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _content_sha256(reference: str) -> str:
    """Hash of a `file:` with all its shards, or of a `bundle:`; empty for what is named and not pointed at.

    What is not there has no hash either: reading it for the training is what says so.
    """
    kind, _, place = reference.partition(":")
    path = Path(place.partition("#")[0])
    if kind == "file" and path.exists():
        return checkpoint_sha256(checkpoint_files(path))
    metadata = path / "metadata.json"  # which holds the bundle's id
    return sha256_file(metadata) if kind == "bundle" and metadata.is_file() else ""
