"""The files of a bundle against SHA256SUMS; needs no numpy and no runtime."""

from pathlib import Path

from dr_pipeline.bundle.bundle_files import CONTENT, METADATA, MONAI_METADATA, SIGNATURE, SUMS, WEIGHTS
from dr_pipeline.bundle.identity import altered_file, parse_metadata, read_sums
from dr_pipeline.bundle_storage import COPY_AGAIN, file_names, missing_file, read_stored, require_one_spelling
from dr_pipeline.errors import BundleError
from dr_pipeline.files import sha256_bytes


def verify_weights(root: Path) -> None:
    """Checks weights.safetensors of a bundle that read_bundle has read against SHA256SUMS.

    Raises:
        BundleError: It was altered, or cannot be read.
    """
    if sha256_bytes(read_stored(root, WEIGHTS)) != read_sums(root)[WEIGHTS]:
        raise altered_file(WEIGHTS, root)


def verified_content(root: Path) -> dict[str, bytes]:
    """The bytes of every file that scoring uses, each read once and equal to its line in SHA256SUMS.

    Raises:
        BundleError: A file is missing, unknown or altered.
    """
    if root.is_file():
        require_one_spelling(root)
    names = file_names(root)
    for name in (SUMS, *CONTENT):
        if name not in names:
            if name != METADATA and METADATA in names:  # an older version has fewer files
                parse_metadata(read_stored(root, METADATA), where=str(root / METADATA))
            raise missing_file(name, root)
    sums = read_sums(root)
    for name in sorted(sums.keys() - names):
        raise missing_file(name, root)
    for name in sorted(names - {SUMS, SIGNATURE, *sums}):
        raise BundleError(
            f"{name!r} does not belong to the bundle", where=str(root), todo=f"remove it, or {COPY_AGAIN}"
        )
    content = {name: read_stored(root, name) for name in sums if name != WEIGHTS}
    for name, data in content.items():
        if sha256_bytes(data) != sums[name]:
            raise altered_file(name, root)
    if content.get(MONAI_METADATA, content[METADATA]) != content[METADATA]:
        raise BundleError(f"{MONAI_METADATA} is not {METADATA}", where=str(root), todo=COPY_AGAIN)
    return content
