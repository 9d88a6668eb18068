"""What a training depends on beside its parameters and photographs: code, libraries, initial weights, a teacher."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.bundle_files import METADATA
from dr_pipeline.bundle_storage import read_stored
from dr_pipeline.code_version import code_version
from dr_pipeline.errors import BundleError, ParamsError
from dr_pipeline.files import sha256_bytes
from dr_pipeline.models.weights.checkpoint_files import checkpoint_files, checkpoint_sha256
from dr_pipeline.models.weights.packages import PACKAGE, find_installed_weights
from dr_pipeline.models.weights.pins import split_pin

_BUNDLE = "bundle:"
_PACKAGES = ("albumentations", "numpy", "onnxruntime", "opencv-python-headless", "timm", "torch")


def provenance(weights: str, teacher: str, *, module: str = "dr_pipeline.training.trainer") -> dict[str, Any]:
    """Hashes of initial weights, teacher and code, and the versions of libraries, for the key of a checkpoint.

    Args:
        weights: The candidate's initial weights, as in params.yaml.
        teacher: `training.distillation.teacher`.
        module: The module whose import closure determines the result.

    Raises:
        ParamsError: A folder of initial weights does not hold one index of shards, or a package of weights is not
            installed or has another hash.
        DataError: An index of shards cannot be read, or a shard is missing.
    """
    return {
        "weights_sha256": _content_sha256(weights),
        "teacher_sha256": _content_sha256(teacher),
        "code_sha256": code_version(module),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of the libraries that determine weights and predictions."""
    return {package: version(package) for package in _PACKAGES}


def require_disjoint(source: str, *, where: str, splits_sha256: str, canvas_index_sha256: str, fold: int) -> None:
    """Refuses a bundle that was trained on photographs with which this training is validated or tested.

    A bundle names the split, the canvases and the folds that it was trained on. Of the same split, only the same fold
    has kept this fold's validation photographs apart. Of the same canvases under another split, it is unknown which
    photographs were in its train set. Photographs shared with another set of canvases are not detected.

    Args:
        source: Initial weights or a teacher; anything but `bundle:PATH` and `bundle:PATH#id` is accepted.
        where: The key in params.yaml.
        splits_sha256: Of this training's split.
        canvas_index_sha256: Of its canvases.
        fold: Its validation part.

    Raises:
        ParamsError: Validation or test photographs would leak into this training.
    """
    described = _described(source) if source.startswith(_BUNDLE) else b""
    if not described:
        return
    try:
        metadata = json.loads(described)
        trained_on = metadata["data_hashes"]
        splits, canvases = trained_on["splits_sha256"], trained_on["canvas_index_sha256"]
        folds = {member["fold"] for member in metadata["model"]["ensemble"]["members"]}
    except (KeyError, TypeError, ValueError):  # of another version, or damaged: loading it reports that
        return
    if splits == splits_sha256 and folds != {fold}:
        others = ", ".join(str(other) for other in sorted(folds - {fold}))
        raise ParamsError(
            f"{source} was trained on fold {others} of this very split, with photographs that validate fold {fold}",
            where=where,
            todo=f"take a bundle of fold {fold} alone, or one of other photographs",
        )
    if splits != splits_sha256 and canvases == canvas_index_sha256:
        raise ParamsError(
            f"{source} was trained on these photographs under another split: its train set may hold this split's "
            "validation and test photographs",
            where=where,
            todo="take a bundle of this split, or one of other photographs; or train with `weights` from elsewhere",
        )


def _content_sha256(reference: str) -> str:
    """Hash of a `file:` with all its shards, of a `package:` or a `bundle:`; empty for anything else.

    It is empty for a missing file too, which is reported when the training reads it.
    """
    if reference.startswith(PACKAGE):
        return find_installed_weights(reference).sha256
    kind, _, place = reference.partition(":")
    path = Path(split_pin(place)[0])
    if kind == "file" and path.exists():
        return checkpoint_sha256(checkpoint_files(path))
    described = _described(reference) if kind == "bundle" else b""  # which holds the bundle's id
    return sha256_bytes(described) if described else ""


def _described(reference: str) -> bytes:
    """metadata.json of `bundle:PATH`; empty where there is none, which loading the bundle reports."""
    try:
        return read_stored(Path(split_pin(reference.removeprefix(_BUNDLE))[0]), METADATA)
    except BundleError:
        return b""
