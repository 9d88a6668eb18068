"""Weights of finished networks: folders that the stage `train` wrote, and bundles."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dr_pipeline.bundle_storage import as_folder
from dr_pipeline.errors import BundleError, DataError, ParamsError
from dr_pipeline.files import read_json, sha256_file
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.models.classifier import classifier_prefixes
from dr_pipeline.models.grader import Grader, grader_from_spec
from dr_pipeline.models.weights.checkpoint_files import checkpoint_files, read_tensors
from dr_pipeline.models.weights.pins import split_pin
from dr_pipeline.params.candidate import Channel
from dr_pipeline.schema import READABLE_BUNDLE_VERSIONS

MODEL_SPEC = "model.json"  # of a folder that `train` wrote
# Written by the room `bundle`, which this one may not import.
WEIGHTS, METADATA, SUMS = "weights.safetensors", "metadata.json", "SHA256SUMS"
_MEMBERS, _FIRST_MEMBER = "members.", "members.0."
_SHOWN_CHARACTERS = 400
_REPACKAGE = "run `dvc repro package`"


@dataclass(frozen=True)
class BundleWeights:
    """A bundle's network; of an ensemble, its first member.

    Attributes:
        tensors: By the names of Grader.state_dict().
        model: timm name.
        channels: Input channels of the network.
        pixel_path: Of its training canvases, as PixelPath.to_dict() gives it.
        bundle_id: 16 hexadecimal digits.
        where: The file, for messages.
        num_members: Number of networks that the bundle combines.
    """

    tensors: dict[str, Tensor]
    model: str
    channels: tuple[Channel, ...]
    pixel_path: dict[str, Any]
    bundle_id: str
    where: str
    num_members: int


def read_bundle_weights(source: str) -> BundleWeights:
    """Reads `bundle:PATH`, with an optional `#id`.

    Raises:
        ParamsError: There is no bundle, or it has another id.
        BundleError: The bundle is of another version, or its weights are missing, altered, or not described.
    """
    path, expected = split_pin(source.removeprefix("bundle:"))
    if not Path(path).exists():
        raise ParamsError("there is no bundle", where=path, todo="name the folder that `dvc repro package` wrote")
    with as_folder(Path(path)) as root:
        return _read_folder(root, path, expected)


def _read_folder(root: Path, path: str, expected: str) -> BundleWeights:
    """As `read_bundle_weights`, of the folder of the bundle `path`."""
    if not (root / METADATA).is_file():
        raise ParamsError("there is no bundle", where=path, todo="name the folder that `dvc repro package` wrote")
    metadata = read_json(root / METADATA)
    version = metadata.get("schema_version") if isinstance(metadata, dict) else None
    if version not in READABLE_BUNDLE_VERSIONS:
        raise BundleError(
            f"schema_version {version!r}; this dr-pipeline reads {' and '.join(map(str, READABLE_BUNDLE_VERSIONS))}",
            where=f"{path}/{METADATA}",
            todo=_REPACKAGE,
        )
    try:
        bundle_id, model = str(metadata["bundle_id"]), str(metadata["model"]["model"])
        channels = tuple(metadata["model"]["network"]["channels"])
        pixel_path = dict(metadata["preprocessing"]["pixel_path"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"does not describe its network: {error!r}", where=path, todo=_REPACKAGE) from None
    if expected and bundle_id != expected:
        raise ParamsError(
            f"the bundle's id is {bundle_id}, expected {expected}", where=path, todo="name the bundle with this id"
        )
    require_unaltered(root, WEIGHTS)
    try:
        tensors = read_tensors((root / WEIGHTS,))
    except DataError as error:
        raise BundleError(error.what, where=f"{path}/{WEIGHTS}", todo=error.todo) from None
    members = {name.split(".")[1] for name in tensors if name.startswith(_MEMBERS)}
    first = {name.removeprefix(_FIRST_MEMBER): t for name, t in tensors.items() if name.startswith(_FIRST_MEMBER)}
    return BundleWeights(
        tensors=first or tensors,
        model=model,
        channels=channels,
        pixel_path=pixel_path,
        bundle_id=bundle_id,
        where=f"{path}/{WEIGHTS}",
        num_members=max(len(members), 1),
    )


def require_unaltered(root: Path, name: str) -> None:
    """Raises BundleError if a bundle's file is missing or altered. Call it before parsing the file."""
    path = root / name
    try:
        lines = (root / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", where=str(root / SUMS)) from None
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    if name not in sums or not path.is_file():
        raise BundleError(f"{name} is missing from the bundle", where=str(root), todo=_REPACKAGE)
    if sha256_file(path) != sums[name]:
        raise BundleError(f"{name} was altered: its bytes do not match {SUMS}", where=str(root))


def load_classifier(grader: Grader, tensors: Mapping[str, Tensor]) -> bool:
    """Loads classifier and head, all or nothing; returns False if a name or shape differs."""
    own = grader.state_dict()
    prefixes = ("head.", *(f"backbone.{prefix}" for prefix in classifier_prefixes(grader.backbone)))
    expected = {name: tensor.shape for name, tensor in own.items() if name.startswith(prefixes)}
    given = {name: tensor for name, tensor in tensors.items() if name.startswith(prefixes)}
    if expected != {name: tensor.shape for name, tensor in given.items()}:
        return False
    grader.load_state_dict(given, strict=False)
    return True


def load_strict(module: nn.Module, path: Path) -> None:
    """Loads weights that write_tensors wrote.

    Raises:
        DataError: A tensor is missing, unexpected or of another shape.
    """
    try:
        module.load_state_dict(read_tensors(checkpoint_files(path)), strict=True)
    except RuntimeError as error:  # names each tensor, which may be hundreds
        differences = textwrap.shorten(str(error), _SHOWN_CHARACTERS, placeholder=" …")
        raise DataError(f"weights of another network: {differences}", where=str(path), todo="run `dvc repro`") from None


def read_trained(folder: Path) -> tuple[Grader, dict[str, Any]]:
    """The first member of a trained candidate, in evaluation mode, and its model.json.

    Args:
        folder: Such as data/models/lite0/0.

    Raises:
        DataError: The folder is incomplete.
    """
    spec = read_json(folder / MODEL_SPEC)
    if not isinstance(spec, dict) or not spec.get("members"):
        raise DataError("model.json names no members", where=str(folder), todo="run `dvc repro train`")
    if not isinstance(spec.get("pixel_path"), dict):
        raise DataError("model.json names no pixel path", where=str(folder), todo="run `dvc repro train`")
    grader = grader_from_spec(spec)
    load_strict(grader, folder / spec["members"][0])
    return grader.eval(), spec


def require_pixel_path(trained: Mapping[str, Any], canvases: PixelPath, *, where: str) -> None:
    """Rejects canvases of another size, enhancement or version than a network was trained on.

    Args:
        trained: Pixel path of the network's training canvases, as PixelPath.to_dict() gives it.
        canvases: Pixel path of the canvases to be used.
        where: The network's folder, for the message.

    Raises:
        ParamsError: They differ.
    """
    if dict(trained) != canvases.to_dict():
        raise ParamsError(
            f"the network was trained on canvases of the pixel path {dict(trained)}; these are of {canvases.to_dict()}",
            where=where,
            todo="name the canvases that it was trained on with --canvases",
        )
