"""A folder of photographs, sound and broken, and the store of their canvases."""

import shutil
from pathlib import Path

import numpy as np

from dr_pipeline.canvases.build import StoreSummary, build_store
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.engines.choice import EngineChoice, EngineName
from dr_pipeline.files import sha256_bytes, sha256_file
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.tables.manifest import ManifestRow
from tests.factories.drawings import draw_fundus, encode, jpeg

PATH = PixelPath(96)
IN_PROCESS = EngineChoice(EngineName.IN_PROCESS)
BROKEN = {"text": b"not a picture", "empty": b"", "cut": jpeg(draw_fundus(300, 300, 150, 150, 140))[:5000]}


def manifest_row(image_id: str, path: str, sha256: str) -> ManifestRow:
    return ManifestRow(image_id=image_id, path=path, sha256=sha256)


def tree(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in sorted(folder.iterdir())}


def read_only_copy(store: CanvasStore, out: Path) -> Path:
    """The store's files, read-only as DVC's hard links are."""
    shutil.copytree(store.root, out)
    for path in out.iterdir():
        path.chmod(0o444)
    return out


def build(rows, root: Path, out: Path, *, num_shards: int = 4, path: PixelPath = PATH) -> StoreSummary:
    return build_store(rows, root, out, path, num_shards=num_shards, engines=IN_PROCESS)


def write_photographs(root: Path) -> list[ManifestRow]:
    """Nine good photographs in two folders; three broken, one missing, one unreadable, one changed since intake."""
    (root / "left eye").mkdir()
    rows = []
    for number in range(9):
        data = jpeg(draw_fundus(400, 360, 200, 180, 170, seed=number + 1))
        path = root / ("left eye" if number % 2 else ".") / f"{number}.jpg"
        path.write_bytes(data)
        rows.append(manifest_row(f"patient {number}", path.relative_to(root).as_posix(), sha256_bytes(data)))
    for name, data in BROKEN.items():
        (root / f"{name}.jpg").write_bytes(data)
        rows.append(manifest_row(name, f"{name}.jpg", sha256_bytes(data)))
    rows.append(manifest_row("missing", "missing.jpg", "0" * 64))
    rows.append(manifest_row("changed", "0.jpg", "0" * 64))
    rows.append(manifest_row("unreadable", "loop.jpg", ""))
    (root / "loop.jpg").symlink_to("loop.jpg")
    page = encode(np.full((200, 200, 3), 255, np.uint8), ".png")
    (root / "page.png").write_bytes(page)
    rows.append(manifest_row("page", "page.png", sha256_bytes(page)))
    return rows
