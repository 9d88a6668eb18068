"""One shard of the store: a tar of canvases and, beside it, what it was made from, so that it can be kept.

A shard's key is a hash of everything that its bytes depend on: its photographs (id, file, SHA-256), the pixel path's
parameters, the source of this package and the versions of the libraries that decode and resize. Where the key is
the same and the tar still has the SHA-256 that was noted, making it again would give the same bytes.
"""

import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import numpy as np

from dr_pipeline.canvases.read import member_name
from dr_pipeline.canvases.render import Made, Source, read_source
from dr_pipeline.code_version import code_version
from dr_pipeline.errors import DataError, ImageError
from dr_pipeline.files import add_to_tar, atomic_write, read_json, sha256_file, sha256_json, write_json
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.schema import CANVAS_INDEX_COLUMNS, CANVAS_INDEX_VERSION

Row = dict[str, str]


@dataclass(frozen=True)
class Shard:
    """A shard that is to be.

    Attributes:
        name: Of the tar file.
        members: Its photographs, by image_id.
        key: See above.
    """

    name: str
    members: tuple[Source, ...]
    key: str


def plan_shards(sources: Iterable[Source], pixel_path: PixelPath) -> list[Shard]:
    """Puts photographs into shards, both in the order of their names."""
    members: dict[str, list[Source]] = {}
    for source in sorted(sources, key=lambda source: (source.shard, source.image_id)):
        members.setdefault(source.shard, []).append(source)
    return [Shard(name, tuple(inside), shard_key(inside, pixel_path)) for name, inside in members.items()]


def shard_key(members: Sequence[Source], pixel_path: PixelPath) -> str:
    """The hash of everything that a shard depends on."""
    return sha256_json(
        {
            "photographs": [[member.image_id, member.name, member.sha256] for member in members],
            "pixel_path": pixel_path.to_dict(),
            "index": [CANVAS_INDEX_VERSION, *CANVAS_INDEX_COLUMNS],
            "program": program(),
        }
    )


@lru_cache(maxsize=1)
def program() -> dict[str, str]:
    """What turns bytes into canvases: the code version of `render`, and its libraries' versions."""
    return {
        "code": code_version("dr_pipeline.canvases.render"),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pydicom": _version("pydicom"),
        "python-gdcm": _version("python-gdcm"),
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # DICOM files then fail with a reason of their own
        return "absent"


def sidecar(shard: Path) -> Path:
    """The file beside a shard's tar that says what it was made from."""
    return shard.with_suffix(".json")


def kept_rows(out: Path, shard: Shard) -> list[Row] | None:
    """The index rows of a shard that need not be made again; None where it must be.

    A file that could not be read, or was not as intake saw it, is tried again: that is a fact about the disk
    and not in the key.
    """
    path = out / shard.name
    try:
        noted = read_json(sidecar(path))
        if not isinstance(noted, dict) or noted.get("key") != shard.key or not path.is_file():
            return None
        rows: list[Row] = noted.get("rows", [])
        unread: dict[str, str] = noted.get("unread", {})
        if noted.get("rows_sha256") != sha256_json([rows, unread]) or noted.get("sha256") != sha256_file(path):
            return None
    except (DataError, OSError, ValueError):  # missing, no JSON, not to be read, or numbers that were never written
        return None
    members = (member for member in shard.members if member.image_id in unread)
    return rows if all(_problem(member) == unread[member.image_id] for member in members) else None


def _problem(source: Source) -> str:
    try:
        read_source(source)
    except ImageError as error:
        return error.what
    return ""


def write_shard(out: Path, shard: Shard, made: Iterable[Made]) -> list[Row]:
    """Writes a shard and, after it, its sidecar, each whole or not at all: the file in place is never written to.

    DVC may have linked it read-only to its cache, and work may be interrupted anywhere.

    Args:
        out: The store's folder.
        shard: What to write.
        made: Its members' results, in their order.

    Returns:
        The index rows.
    """
    rows: list[Row] = []
    unread: dict[str, str] = {}
    with atomic_write(out / shard.name) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for one in made:
            if one.png:
                add_to_tar(tar, member_name(one.row["image_id"]), one.png)
            if one.unread:
                unread[one.row["image_id"]] = one.unread
            rows.append(one.row)
    facts = {"key": shard.key, "sha256": sha256_file(out / shard.name), "rows_sha256": sha256_json([rows, unread])}
    write_json(sidecar(out / shard.name), facts | {"rows": rows, "unread": unread})
    return rows
