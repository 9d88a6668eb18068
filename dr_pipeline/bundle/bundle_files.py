"""The files of a bundle, and the canonical form of its SHA256SUMS."""

import re
from collections.abc import Mapping
from pathlib import Path

from dr_pipeline.bundle_storage import COPY_AGAIN, MONAI_FOLDER
from dr_pipeline.errors import BundleError
from dr_pipeline.files import sha256_bytes

MODEL = "model.onnx"
METADATA = "metadata.json"
GOLDEN = "golden.npz"
WEIGHTS = "weights.safetensors"  # of training, for fine-tuning; scoring does not read it
CARD = "MODEL_CARD.md"
SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.minisig"  # of SHA256SUMS, and so of every file; a bundle may lack it
REFERENCE = "reference.json"  # of development, for drift; a bundle may lack it
EXPLAIN = "explain.onnx"  # appended to model.onnx, it adds the output `attribution`; a bundle may lack it
LESIONS = "lesions.onnx"  # finds lesions and landmarks, for `score --lesions`; a bundle may lack it
SBOM = "sbom.cdx.json"  # the packages of the scoring runtime; a bundle may lack it
MONAI_METADATA = f"{MONAI_FOLDER}/metadata.json"  # metadata.json again, where MONAI looks for it
# The files that SHA256SUMS lists, in this order; a bundle has no other file but its signature.
CONTENT = (CARD, GOLDEN, METADATA, MODEL, WEIGHTS)
_OPTIONAL = (EXPLAIN, LESIONS, MONAI_METADATA, REFERENCE, SBOM)
LISTED = tuple(sorted((*CONTENT, *_OPTIONAL)))

_LINE = re.compile(r"([0-9a-f]{64})  ([^\0\n]+)")


def sums_text(content: Mapping[str, bytes]) -> str:
    """The text of SHA256SUMS for all files of a bundle by name, as `sha256sum -c` reads it."""
    return "".join(f"{sha256_bytes(content[name])}  {name}\n" for name in LISTED if name in content)


def parse_sums(text: str, *, where: str) -> dict[str, str]:
    """Reads SHA256SUMS strictly: the known names, once each, in order; so a path outside the bundle cannot be named.

    Raises:
        BundleError: A line has another form, names another file, or a file is not listed.
    """
    sums: dict[str, str] = {}
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise BundleError("not a line of SHA256SUMS", where=f"{where}, line {number}", todo=COPY_AGAIN)
        digest, name = match.groups()
        if name not in LISTED:
            raise BundleError(f"lists {name!r}, which no bundle has", where=f"{where}, line {number}", todo=COPY_AGAIN)
        sums[name] = digest
    in_order = "".join(f"{sums[name]}  {name}\n" for name in LISTED if name in sums)
    if text != in_order or set(sums) - set(_OPTIONAL) != set(CONTENT):
        raise BundleError(f"does not list {', '.join(CONTENT)} once each, in this order", where=where, todo=COPY_AGAIN)
    return sums


def no_lesions(root: Path) -> BundleError:
    """The error of a bundle that is asked for lesions and has no network for them."""
    return BundleError(
        f"has no {LESIONS}: it was packaged without a network for lesions",
        where=str(root),
        todo="leave out --lesions, or package a bundle with one",
    )
