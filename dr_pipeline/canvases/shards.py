"""One shard of the store: a tar of canvases and, beside it, a sidecar with its inputs, so that it can be reused.

A shard's key is a hash of everything that determines its bytes: its photographs (id, file, SHA-256), the pixel path's
parameters, the code version and the versions of the libraries that decode and resize. If the key is the same and the
tar still has the recorded SHA-256, rendering it again would give the same bytes.
"""

import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import numpy as np

from dr_pipeline.canvases.render import RenderedImage, Source, read_source
from dr_pipeline.canvases.store import member_name
from dr_pipeline.code_version import code_version
from dr_pipeline.errors import DataError, ImageError
from dr_pipeline.files import add_to_tar, atomic_write, read_json, sha256_file, sha256_json, write_json
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.tables.canvas_index import CANVAS_INDEX, CanvasRow


@dataclass(frozen=True)
class ShardPlan:
    """A shard and its inputs.

    Attributes:
        name: Of the tar file.
        members: Its photographs, by image_id.
        key: See above.
    """

    name: str
    members: tuple[Source, ...]
    key: str


def plan_shards(sources: Iterable[Source], pixel_path: PixelPath) -> list[ShardPlan]:
    """Groups photographs by shard; shards and members are ordered by name."""
    members: dict[str, list[Source]] = {}
    for source in sorted(sources, key=lambda source: (source.shard, source.image_id)):
        members.setdefault(source.shard, []).append(source)
    return [ShardPlan(name, tuple(group), shard_key(group, pixel_path)) for name, group in members.items()]


def shard_key(members: Sequence[Source], pixel_path: PixelPath) -> str:
    """The hash of everything that determines a shard."""
    return sha256_json(
        {
            "photographs": [[member.image_id, member.name, member.sha256] for member in members],
            "pixel_path": pixel_path.to_dict(),
            "index": [CANVAS_INDEX.version, *CANVAS_INDEX.columns],
            "program": render_version(),
        }
    )


@lru_cache(maxsize=1)
def render_version() -> dict[str, str]:
    """The code version of `render`, and the versions of its libraries."""
    return {
        "code": code_version("dr_pipeline.canvases.render"),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pydicom": _version("pydicom"),
        "python-gdcm": _version("python-gdcm"),
        "simplejpeg": _version("simplejpeg"),
        "tifffile": _version("tifffile"),
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # files that need it then fail with a reason of their own
        return "absent"


def sidecar(shard: Path) -> Path:
    """The JSON file beside a shard's tar: its key, hashes and index rows."""
    return shard.with_suffix(".json")


def reusable_rows(out: Path, shard: ShardPlan) -> list[CanvasRow] | None:
    """The index rows of a shard that can be reused; None if it must be rendered.

    A file that could not be read, or had changed since intake, is tried again, because the key does not cover it.
    """
    path = out / shard.name
    try:
        record = read_json(sidecar(path))
        if not isinstance(record, dict) or record.get("key") != shard.key or not path.is_file():
            return None
        cells: list[dict[str, str]] = record.get("rows", [])
        unread: dict[str, str] = record.get("unread", {})
        if record.get("rows_sha256") != sha256_json([cells, unread]) or record.get("sha256") != sha256_file(path):
            return None
        rows = [CANVAS_INDEX.parse(row, where=str(sidecar(path))) for row in cells]
    except (DataError, OSError, ValueError):  # missing, unreadable or not JSON as it was written
        return None
    members = (member for member in shard.members if member.image_id in unread)
    return rows if all(_read_error(member) == unread[member.image_id] for member in members) else None


def _read_error(source: Source) -> str:
    try:
        read_source(source)
    except ImageError as error:
        return error.what
    return ""


def write_shard(out: Path, shard: ShardPlan, images: Iterable[RenderedImage]) -> list[CanvasRow]:
    """Writes a shard and then its sidecar, each whole or not at all; an existing file is replaced, not modified.

    DVC may have linked that file read-only to its cache, and the run may be interrupted at any time.

    Args:
        out: The store's folder.
        shard: What to write.
        images: Its members' results, in their order.

    Returns:
        The index rows.
    """
    rows: list[CanvasRow] = []
    unread: dict[str, str] = {}
    with atomic_write(out / shard.name) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for image in images:
            if image.png:
                add_to_tar(tar, member_name(image.row.image_id), image.png)
            if image.read_error:
                unread[image.row.image_id] = image.read_error
            rows.append(image.row)
    cells = [CANVAS_INDEX.cells(row) for row in rows]
    hashes = {"key": shard.key, "sha256": sha256_file(out / shard.name), "rows_sha256": sha256_json([cells, unread])}
    write_json(sidecar(out / shard.name), hashes | {"rows": cells, "unread": unread})
    return rows
