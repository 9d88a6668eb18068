"""Writes a bundle as a whole folder, or not at all."""

import errno
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.bundle_files import (
    CARD,
    EXPLAIN,
    GOLDEN,
    LESIONS,
    METADATA,
    MODEL,
    MONAI_METADATA,
    REFERENCE,
    SBOM,
    SUMS,
    WEIGHTS,
    sums_text,
)
from dr_pipeline.bundle.card import model_card
from dr_pipeline.bundle.golden import Golden
from dr_pipeline.bundle.lesions import LesionModel
from dr_pipeline.bundle.reference import Reference
from dr_pipeline.bundle_storage import require_outside, write_folder
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import canonical_json, printable
from dr_pipeline.folder_rules import is_system_name


def write_bundle(
    out: Path,
    *,
    model: bytes,
    weights: bytes,
    metadata: Mapping[str, Any],
    golden: Golden,
    reference: Reference | None = None,
    sbom: str = "",
    explain: bytes = b"",
    lesions: bytes = b"",
) -> None:
    """Writes a bundle's folder; equal input gives equal bytes.

    Args:
        out: The bundle's folder.
        model: The bytes of model.onnx.
        weights: The bytes of weights.safetensors, the same networks as they were trained.
        metadata: From `build_metadata`.
        golden: From `make_golden`, with the same model and decision.
        reference: How the photographs of development looked; None: the bundle has no reference.json.
        sbom: The packages of the scoring runtime, as CycloneDX JSON; empty: the bundle has no list of them.
        explain: The part of the network for its second output; empty: the bundle has none.
        lesions: The network that finds lesions; empty: the bundle has none.

    Raises:
        BundleError: `out` holds something that is no bundle, or the network for lesions breaks its contract.
    """
    described = canonical_json(metadata).encode()
    finds = LesionModel(lesions, threads=1).description if lesions else None
    content = {
        MODEL: model,
        METADATA: described,
        MONAI_METADATA: described,
        GOLDEN: golden.to_bytes(),
        CARD: model_card(metadata, finds).encode(),
        WEIGHTS: weights,
    }
    if reference is not None:
        content[REFERENCE] = canonical_json(reference.to_dict()).encode()
    if sbom:
        content[SBOM] = sbom.encode()
    if explain:
        content[EXPLAIN] = explain
    if lesions:
        content[LESIONS] = lesions
    write_files(out, {**content, SUMS: sums_text(content).encode()})


def require_new_folder(out: Path, *, parent: Path) -> None:
    """Checks, before the work, that a child bundle can be written.

    Args:
        out: The child's folder.
        parent: The bundle that it comes from.

    Raises:
        DataError: There is something at `out`, or it lies inside the parent.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError("there is something here already", where=printable(out), todo="name a new folder for --out")
    require_outside(out, parent)


def write_files(out: Path, files: Mapping[str, bytes]) -> None:
    """Writes the files of a bundle into a temporary folder beside `out` and renames it.

    An earlier bundle at `out` is replaced: it is moved aside, and removed when the new one is in its place. Anything
    else at `out` is left alone.

    Raises:
        BundleError: `out` holds something that is no bundle, or cannot be replaced as a whole.
    """
    if out.exists() and not _replaceable(out):
        raise BundleError("holds something that is no bundle", where=str(out), todo="name an empty or a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    whole = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
    try:
        write_folder(whole, files)
        whole.chmod(0o755)
        if out.exists():
            _replace_folder(out, whole)
        else:
            whole.replace(out)
    except BaseException:
        shutil.rmtree(whole, ignore_errors=True)
        raise


def _replace_folder(out: Path, whole: Path) -> None:
    """Puts `whole` in the place of `out`; whatever fails before that leaves `out` as it is."""
    earlier = whole.with_suffix(".old")
    try:
        out.rename(earlier)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EINVAL):
            raise
        raise BundleError(
            "cannot be replaced as a whole: it is the current folder, or one where a file system is mounted",
            where=str(out),
            todo="name a new folder inside it",
        ) from None
    try:
        whole.replace(out)
    except BaseException:
        earlier.rename(out)
        raise
    shutil.rmtree(earlier)


def _replaceable(out: Path) -> bool:
    if not out.is_dir() or out.is_symlink():
        return False
    is_empty = all(is_system_name(entry.name) for entry in out.iterdir())
    return is_empty or (out / SUMS).is_file()
