"""The hash of everything that a result rests on: what is kept under another one is not used."""

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dr_pipeline
from dr_pipeline.experiments.settings import Settings
from dr_pipeline.files import sha256_file, sha256_json

# The rooms whose code decides what a network learns and answers; figures are made anew each time.
_ROOMS = ("fundus", "metrics", "models", "training")
_PACKAGES = ("albumentations", "numpy", "opencv-python-headless", "timm", "torch")


def result_key(
    settings: Settings,
    *,
    index_sha256: str,
    pixel_path: dict[str, Any],
    readings: Mapping[str, Sequence[int]],
    digest: str,
) -> str:
    """Hash of values, first weights, teacher, photographs, readings, division, code and libraries.

    Args:
        settings: Of the arm.
        index_sha256: Of the canvases' index, which lists every picture's pixel hash.
        pixel_path: That made the canvases.
        readings: Further grades of the photographs.
        digest: Of who is in which part.
    """
    return sha256_json(
        {
            "settings": settings.to_dict(),
            "weights_sha256": _content(settings.candidate.weights),
            "teacher_sha256": _content(settings.training.distillation.teacher),
            "canvas_index_sha256": index_sha256,
            "pixel_path": pixel_path,
            "readings": {image_id: list(grades) for image_id, grades in readings.items()},
            "division": digest,
            "code_sha256": code_sha256(),
            "versions": {package: version(package) for package in _PACKAGES},
        }
    )


def _content(reference: str) -> str:
    """Hash of a `file:` or of a `bundle:`; empty for what is named and not pointed at.

    What is not there has no hash either: reading it for the training is what says so.
    """
    kind, _, place = reference.partition(":")
    path = Path(place.partition("#")[0])
    if kind == "bundle":
        path /= "metadata.json"
    return sha256_file(path) if kind in ("file", "bundle") and path.is_file() else ""


@cache
def code_sha256() -> str:
    """Hash of what the rooms' source files do: comments and docstrings are no part of it."""
    package = Path(dr_pipeline.__file__).parent
    paths = sorted(path for room in _ROOMS for path in (package / room).rglob("*.py"))
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
