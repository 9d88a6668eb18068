"""The photographs and the store that the tests of this room share."""

from pathlib import Path

import pytest

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.tables.manifest import ManifestRow
from tests.factories.canvases import build, write_photographs


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> tuple[Path, list[ManifestRow]]:
    root = tmp_path_factory.mktemp("photographs")
    return root, write_photographs(root)


@pytest.fixture(scope="module")
def store(photographs, tmp_path_factory) -> CanvasStore:
    root, rows = photographs
    out = tmp_path_factory.mktemp("canvases")
    build(rows, root, out)
    return CanvasStore(out)
