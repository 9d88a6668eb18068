"""What a training rests on beside its values and its photographs: code, libraries, and files that its values name."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from dr_pipeline.code_version import code_version
from dr_pipeline.files import sha256_file
from dr_pipeline.models.weights.checkpoint_files import checkpoint_files, checkpoint_sha256

_PACKAGES = ("albumentations", "numpy", "onnxruntime", "opencv-python-headless", "timm", "torch")


def provenance(weights: str, teacher: str, *, module: str = "dr_pipeline.training.trainer") -> dict[str, Any]:
    """Hashes of first weights, teacher and code, and the libraries' versions, for the key of what is kept.

    Args:
        weights: As a candidate names its first weights.
        teacher: As `training.distillation` names it.
        module: The module whose import closure decides the result.

    Raises:
        ParamsError: A folder of first weights does not hold one index of shards.
        DataError: An index of shards cannot be read, or a shard is missing.
    """
    return {
        "weights_sha256": _content_sha256(weights),
        "teacher_sha256": _content_sha256(teacher),
        "code_sha256": code_version(module),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of the libraries that compute what a network learns and answers."""
    return {package: version(package) for package in _PACKAGES}


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
