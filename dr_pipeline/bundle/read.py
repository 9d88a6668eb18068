"""Reads a bundle; it is used only after its hashes, its version and its self-test are verified."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.bundle_files import (
    CONTENT,
    COPY_AGAIN,
    GOLDEN,
    METADATA,
    MODEL,
    REFERENCE,
    SUMS,
    WEIGHTS,
)
from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.golden import Golden
from dr_pipeline.bundle.identity import altered_file, missing_file, no_bundle, parse_metadata, read_file, read_sums
from dr_pipeline.bundle.metadata import identify
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.errors import BundleError
from dr_pipeline.files import sha256_bytes, sha256_file
from dr_pipeline.folder_rules import is_system_name
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.quality.thresholds import Gradability


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files that score match SHA256SUMS and whose self-test passed.

    Attributes:
        root: Its folder.
        bundle_id: 16 hexadecimal digits over network, pixel path, decision and thresholds.
        metadata: metadata.json.
        pixel_path: From the bytes of a file to a canvas.
        decision: From logits to a grade.
        gradability: Quality thresholds.
        model: The network, loaded from the bytes that were hashed.
        golden_difference: The largest difference of a probability in the self-test.
    """

    root: Path
    bundle_id: str
    metadata: dict[str, Any]
    pixel_path: PixelPath
    decision: Decision
    gradability: Gradability
    model: OnnxModel
    golden_difference: float


def read_bundle(root: Path, *, threads: int) -> Bundle:
    """Reads, verifies and self-tests the bundle in the folder `root`.

    The checksums detect damage and mix-ups. They are no signature: who can write the folder can also rewrite them.
    weights.safetensors must exist but is not read, since scoring does not use it: see `verify_weights`.

    Args:
        root: The bundle's folder.
        threads: Threads inside one operator of the network.

    Raises:
        BundleError: A file is missing, unknown or altered; the schema version is another; the self-test fails.
    """
    content = _verified_content(root)
    where = str(root / METADATA)
    metadata = parse_metadata(content[METADATA], where=where)
    try:
        pixel_path = PixelPath.from_dict(metadata["preprocessing"]["pixel_path"])
        decision = Decision.from_dict(metadata["decision"])
        gradability = Gradability.from_dict(metadata["gradability"])
        input_px, stated_id = metadata["model"]["input_px"], metadata["bundle_id"]
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"an entry is missing or malformed: {error}", where=where, todo=COPY_AGAIN) from None
    if stated_id != identify(sha256_bytes(content[MODEL]), pixel_path, decision, gradability):
        raise BundleError("bundle_id does not follow from model, pixel path, decision and thresholds", where=where)
    model = OnnxModel(content[MODEL], threads=threads)
    if model.input_px != input_px:
        raise BundleError(f"input_px is {input_px}, but the model takes {model.input_px}", where=where)
    golden = Golden.from_bytes(content[GOLDEN], where=str(root / GOLDEN))
    difference = golden.replay(model, decision, where=str(root))
    return Bundle(root, stated_id, metadata, pixel_path, decision, gradability, model, difference)


def verify_weights(root: Path) -> None:
    """Checks weights.safetensors of a bundle that read_bundle has read against SHA256SUMS.

    Raises:
        BundleError: It was altered, or cannot be read.
    """
    try:
        sha256 = sha256_file(root / WEIGHTS)
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", where=str(root / WEIGHTS), todo=COPY_AGAIN) from None
    if sha256 != read_sums(root)[WEIGHTS]:
        raise altered_file(WEIGHTS, root)


def _verified_content(root: Path) -> dict[str, bytes]:
    """The bytes of every file that scoring uses, each read once and equal to its line in SHA256SUMS."""
    if not root.is_dir():
        raise no_bundle(root)
    names = {entry.name for entry in root.iterdir() if not is_system_name(entry.name)}
    for name in (SUMS, *CONTENT):
        if name not in names:
            if name != METADATA and METADATA in names:  # an older version has fewer files
                parse_metadata(read_file(root / METADATA), where=str(root / METADATA))
            raise missing_file(name, root)
    sums = read_sums(root)
    if REFERENCE in sums and REFERENCE not in names:
        raise missing_file(REFERENCE, root)
    for name in sorted(names - {SUMS, *sums}):
        raise BundleError(
            f"{name!r} does not belong to the bundle", where=str(root), todo=f"remove it, or {COPY_AGAIN}"
        )
    content = {name: read_file(root / name) for name in sums if name != WEIGHTS}
    for name, data in content.items():
        if sha256_bytes(data) != sums[name]:
            raise altered_file(name, root)
    return content
