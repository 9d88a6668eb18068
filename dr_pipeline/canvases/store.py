"""Reads the store of canvases: lossless PNGs in tar shards, with an index of every photograph."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.files import TarReader, read_json, sha256_bytes
from dr_pipeline.fundus.decode import decode_png
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.tables.canvas_index import CanvasRow, read_canvas_index

INDEX = "index.csv"
PIXEL_PATH = "pixel_path.json"


def shard_name(image_id: str, num_shards: int) -> str:
    """The shard of an image: by a hash of its id alone, so that it does not depend on other images."""
    number = int(sha256_bytes(image_id.encode())[:16], 16) % num_shards
    return f"shard-{number:05d}.tar"


def member_name(image_id: str) -> str:
    """The canvas's name inside its shard."""
    return f"{image_id}.png"


class CanvasStore:
    """The folder that `preprocess` writes, for reading.

    It can be pickled and shared by processes: no file is held open.

    Attributes:
        root: The folder.
        pixel_path: The pixel path of the canvases.
        rows: The index by image_id.

    Raises:
        DataError: The folder is incomplete.
        BundleError: It was written by another version of the pixel path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pixel_path = read_pixel_path(root / PIXEL_PATH)
        self.rows: dict[str, CanvasRow] = {row.image_id: row for row in read_canvas_index(self.index_path)}
        self._shards: dict[str, TarReader] = {}

    @property
    def index_path(self) -> Path:
        """The file whose hash represents the store: it lists every picture's pixel hash."""
        return self.root / INDEX

    def read(self, image_id: str) -> NDArray[np.uint8]:
        """Reads one canvas: (canvas_px, canvas_px, 3) RGB.

        Raises:
            DataError: The photograph is unknown or has no canvas, or its shard is damaged.
        """
        row = self.rows.get(image_id)
        if row is None:
            raise DataError(f"no canvas of {image_id!r}", where=str(self.index_path), todo="run `dvc repro`")
        if not row.shard:
            raise DataError(f"{image_id!r} has no canvas: {row.reason}", where=str(self.index_path))
        if row.shard not in self._shards:
            self._shards[row.shard] = TarReader(self.root / row.shard)
        return decode_png(self._shards[row.shard].read(member_name(image_id)))


def read_pixel_path(path: Path) -> PixelPath:
    """The pixel path of a store's canvases.

    Raises:
        DataError: The file is missing or holds none.
        BundleError: It is of another version.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError("holds no pixel path", where=str(path), todo="run `dvc repro`")
    return PixelPath.from_dict({key: item for key, item in value.items() if key != "fingerprint"})
