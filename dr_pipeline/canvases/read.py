"""The store of canvases: lossless PNGs in tar shards, with an index of every photograph."""

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.files import TarReader, read_csv, read_json, sha256_bytes
from dr_pipeline.fundus.decode import decode_png
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.schema import CANVAS_INDEX_COLUMNS, CANVAS_INDEX_VERSION

INDEX = "index.csv"
PIXEL_PATH = "pixel_path.json"


def shard_name(image_id: str, num_shards: int) -> str:
    """The shard an image falls in: by a hash of its id alone, so that other images never move it."""
    number = int(sha256_bytes(image_id.encode())[:16], 16) % num_shards
    return f"shard-{number:05d}.tar"


def member_name(image_id: str) -> str:
    """The canvas's name inside its shard."""
    return f"{image_id}.png"


class CanvasStore:
    """The folder that `preprocess` wrote, for reading.

    It can be pickled and shared by processes: no file is held open.

    Attributes:
        root: The folder.
        pixel_path: The path that made the canvases.
        rows: index.csv's rows by image_id.

    Raises:
        DataError: The folder is incomplete.
        BundleError: It was made by another version of the pixel path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pixel_path = _read_pixel_path(root / PIXEL_PATH)
        self.rows: dict[str, dict[str, str]] = {
            row["image_id"]: row for row in read_csv(root / INDEX, CANVAS_INDEX_COLUMNS, version=CANVAS_INDEX_VERSION)
        }
        self._shards: dict[str, TarReader] = {}

    @cached_property
    def index_path(self) -> Path:
        """The file whose hash stands for the store: it lists every picture's pixel hash."""
        return self.root / INDEX

    def read(self, image_id: str) -> NDArray[np.uint8]:
        """Reads one canvas: (canvas_px, canvas_px, 3) RGB.

        Raises:
            DataError: There is no such photograph, it gave no canvas, or its shard is damaged.
        """
        row = self.rows.get(image_id)
        if row is None:
            raise DataError(f"no canvas of {image_id!r}", where=str(self.root / INDEX), todo="run `dvc repro`")
        if not row["shard"]:
            raise DataError(f"{image_id!r} gave no canvas: {row['reason']}", where=str(self.root / INDEX))
        if row["shard"] not in self._shards:
            self._shards[row["shard"]] = TarReader(self.root / row["shard"])
        return decode_png(self._shards[row["shard"]].read(member_name(image_id)))


def _read_pixel_path(path: Path) -> PixelPath:
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError("holds no pixel path", where=str(path), todo="run `dvc repro`")
    return PixelPath.from_dict({key: item for key, item in value.items() if key != "fingerprint"})
