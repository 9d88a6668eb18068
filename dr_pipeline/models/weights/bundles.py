"""The weights of a finished bundle, as training wrote them: a start for the next training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dr_pipeline.errors import BundleError, DataError, ParamsError
from dr_pipeline.files import read_json, sha256_file
from dr_pipeline.models.classifier import classifier_prefixes
from dr_pipeline.models.grader import Grader
from dr_pipeline.models.weights.checkpoint_files import read_tensors
from dr_pipeline.params.candidate import Channel
from dr_pipeline.schema import BUNDLE_VERSION

# Written by the room `bundle`, which this one may not import.
WEIGHTS, METADATA, SUMS = "weights.safetensors", "metadata.json", "SHA256SUMS"
_MEMBERS, _FIRST_MEMBER = "members.", "members.0."  # of an ensemble, one network is taken


@dataclass(frozen=True)
class BundleWeights:
    """A bundle's network; of an ensemble, its first.

    Attributes:
        tensors: As Grader.state_dict() names them.
        model: Its timm name.
        channels: The planes that it was trained with.
        pixel_path: That made the canvases, as PixelPath.to_dict() gives it.
        bundle_id: 16 hexadecimal digits.
        where: The file, for messages.
        num_members: How many networks the bundle combines.
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
    path, _, expected = source.removeprefix("bundle:").partition("#")
    root = Path(path)
    if not (root / METADATA).is_file():
        raise ParamsError("there is no bundle", where=path, todo="name the folder that `dvc repro package` wrote")
    metadata = read_json(root / METADATA)
    if (version := metadata.get("schema_version") if isinstance(metadata, dict) else None) != BUNDLE_VERSION:
        raise BundleError(
            f"schema_version {version!r}; this dr-pipeline reads {BUNDLE_VERSION}",
            where=str(root / METADATA),
            todo="remake it with `dvc repro package`",
        )
    try:
        found, model = str(metadata["bundle_id"]), str(metadata["model"]["model"])
        channels = tuple(metadata["model"]["network"]["channels"])
        pixel_path = dict(metadata["preprocessing"]["pixel_path"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"does not describe its network: {error!r}", where=path, todo="remake it with `dvc repro package`"
        ) from None
    if expected and found != expected:
        raise ParamsError(f"the bundle's id is {found}, expected {expected}", where=path, todo="name the right bundle")
    require_unaltered(root, WEIGHTS)
    try:
        tensors = read_tensors((root / WEIGHTS,))
    except DataError as error:
        raise BundleError(error.what, where=str(root / WEIGHTS), todo=error.todo) from None
    members = {name.split(".")[1] for name in tensors if name.startswith(_MEMBERS)}
    first = {name.removeprefix(_FIRST_MEMBER): t for name, t in tensors.items() if name.startswith(_FIRST_MEMBER)}
    return BundleWeights(
        tensors=first or tensors,
        model=model,
        channels=channels,
        pixel_path=pixel_path,
        bundle_id=found,
        where=str(root / WEIGHTS),
        num_members=max(len(members), 1),
    )


def load_classifier(grader: Grader, tensors: Mapping[str, Tensor]) -> bool:
    """Loads classifier and head, all or nothing; False, and nothing is changed, where one is of another shape."""
    own = grader.state_dict()
    prefixes = ("head.", *(f"backbone.{prefix}" for prefix in classifier_prefixes(grader.backbone)))
    wanted = {name: tensor for name, tensor in own.items() if name.startswith(prefixes)}
    given = {name: tensor for name, tensor in tensors.items() if name.startswith(prefixes)}
    if {name: tensor.shape for name, tensor in wanted.items()} != {name: t.shape for name, t in given.items()}:
        return False
    grader.load_state_dict(given, strict=False)
    return True


def require_unaltered(root: Path, name: str) -> None:
    """Raises BundleError where a bundle's file is missing or altered; called before it is parsed."""
    path, sums = root / name, _sums(root / SUMS)
    if name not in sums or not path.is_file():
        raise BundleError(
            f"{name} is missing from the bundle", where=str(root), todo="remake it with `dvc repro package`"
        )
    if sha256_file(path) != sums[name]:
        raise BundleError(f"{name} was altered: its bytes do not match {SUMS}", where=str(root))


def _sums(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", where=str(path)) from None
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
