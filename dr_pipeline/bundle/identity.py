"""What a bundle states about itself, read in a millisecond: its id and the hashes of its files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.bundle_files import COPY_AGAIN, METADATA, SUMS, parse_sums
from dr_pipeline.errors import BundleError
from dr_pipeline.files import sha256_bytes
from dr_pipeline.schema import READABLE_BUNDLE_VERSIONS


@dataclass(frozen=True)
class BundleIdentity:
    """What a bundle states about itself; nothing of it is verified.

    Attributes:
        bundle_id: From metadata.json.
        sha256: Hash of each file by name, from SHA256SUMS, whose own is there too.
    """

    bundle_id: str
    sha256: dict[str, str]


def identify_bundle(root: Path) -> BundleIdentity:
    """Reads what the bundle states about itself, in a millisecond; `read_bundle` verifies it.

    Raises:
        BundleError: There is no bundle; SHA256SUMS or metadata.json is missing or malformed.
    """
    if not root.is_dir():
        raise no_bundle(root)
    for name in (SUMS, METADATA):
        if not (root / name).is_file():
            raise missing_file(name, root)
    sums, metadata = read_file(root / SUMS), parse_metadata(read_file(root / METADATA), where=str(root / METADATA))
    listed = parse_sums(sums.decode("utf-8", "replace"), where=str(root / SUMS))
    return BundleIdentity(str(metadata.get("bundle_id")), {**listed, SUMS: sha256_bytes(sums)})


def no_bundle(root: Path) -> BundleError:
    """The error where the folder is missing."""
    return BundleError("there is no bundle", where=str(root), todo="name the folder that `dvc repro` made")


def missing_file(name: str, root: Path) -> BundleError:
    """The error where a file of the bundle is missing."""
    return BundleError(f"{name} is missing from the bundle", where=str(root), todo=COPY_AGAIN)


def read_file(path: Path) -> bytes:
    """Raises BundleError where the file cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", where=str(path), todo=COPY_AGAIN) from None


def altered_file(name: str, root: Path) -> BundleError:
    """The error where a file of the bundle is not the one that was packed."""
    return BundleError(f"{name} was altered: its bytes do not match {SUMS}", where=str(root), todo=COPY_AGAIN)


def read_sums(root: Path) -> dict[str, str]:
    """The hash of each file by name; raises BundleError where SHA256SUMS is missing or malformed."""
    return parse_sums(read_file(root / SUMS).decode("utf-8", "replace"), where=str(root / SUMS))


def parse_metadata(data: bytes, *, where: str) -> dict[str, Any]:
    """Raises BundleError where metadata.json is no JSON, or of another version."""
    try:
        metadata = json.loads(data)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError both
        raise BundleError(f"not valid JSON: {error}", where=where, todo=COPY_AGAIN) from None
    version = metadata.get("schema_version") if isinstance(metadata, dict) else None
    if version not in READABLE_BUNDLE_VERSIONS:
        raise BundleError(
            f"schema_version {version!r}; this dr-pipeline reads {' and '.join(map(str, READABLE_BUNDLE_VERSIONS))}",
            where=where,
            todo="install the dr-pipeline version that made the bundle, or remake it with `dvc repro package`",
        )
    return dict(metadata)
