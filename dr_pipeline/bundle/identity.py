"""What a bundle states about itself, read in a millisecond: its id and the hashes of its files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.bundle_files import LESIONS, METADATA, SUMS, parse_sums
from dr_pipeline.bundle_storage import COPY_AGAIN, file_names, missing_file, read_stored
from dr_pipeline.errors import BundleError
from dr_pipeline.files import sha256_bytes
from dr_pipeline.schema import READABLE_BUNDLE_VERSIONS

_ID_DIGITS = 16  # as of a bundle's id


@dataclass(frozen=True)
class BundleIdentity:
    """What a bundle states about itself; nothing of it is verified.

    Attributes:
        bundle_id: From metadata.json.
        sha256: Hash of each file by name, from SHA256SUMS, whose own is there too.
    """

    bundle_id: str
    sha256: dict[str, str]

    @property
    def lesions(self) -> str:
        """Hash of lesions.onnx, which the id does not cover: it grades nothing; empty where there is none."""
        return self.sha256.get(LESIONS, "")

    @property
    def lesions_id(self) -> str:
        """Its first 16 digits, in tables beside the bundle's id; empty likewise."""
        return self.lesions[:_ID_DIGITS]


def identify_bundle(root: Path) -> BundleIdentity:
    """Reads what the bundle states about itself, in a millisecond; `read_bundle` verifies it.

    Args:
        root: The bundle: its folder, or a `.drbundle` file.

    Raises:
        BundleError: There is no bundle; SHA256SUMS or metadata.json is missing or malformed.
    """
    names = file_names(root)
    for name in (SUMS, METADATA):
        if name not in names:
            raise missing_file(name, root)
    sums, metadata = read_stored(root, SUMS), parse_metadata(read_stored(root, METADATA), where=str(root / METADATA))
    listed = parse_sums(sums.decode("utf-8", "replace"), where=str(root / SUMS))
    return BundleIdentity(str(metadata.get("bundle_id")), {**listed, SUMS: sha256_bytes(sums)})


def altered_file(name: str, root: Path) -> BundleError:
    """The error where a file of the bundle is not the one that was packed."""
    return BundleError(f"{name} was altered: its bytes do not match {SUMS}", where=str(root), todo=COPY_AGAIN)


def read_sums(root: Path) -> dict[str, str]:
    """The hash of each file by name; raises BundleError where SHA256SUMS is missing or malformed."""
    return parse_sums(read_stored(root, SUMS).decode("utf-8", "replace"), where=str(root / SUMS))


def parse_metadata(data: bytes, *, where: str) -> dict[str, Any]:
    """Raises BundleError where metadata.json is no JSON, or of another version."""
    try:
        metadata = json.loads(data)
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError both
        raise BundleError(f"not valid JSON: {error}", where=where, todo=COPY_AGAIN) from None
    version = metadata.get("schema_version") if isinstance(metadata, dict) else None
    if version not in READABLE_BUNDLE_VERSIONS:
        readable = f"{', '.join(map(str, READABLE_BUNDLE_VERSIONS[:-1]))} and {READABLE_BUNDLE_VERSIONS[-1]}"
        raise BundleError(
            f"schema_version {version!r}; this dr-pipeline reads {readable}",
            where=where,
            todo="install the dr-pipeline version that made the bundle, or remake it with `dvc repro package`",
        )
    return dict(metadata)
