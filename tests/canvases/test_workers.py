"""Rendering in worker processes: the same bytes, and errors that name the file."""

import os
import subprocess
import sys
from typing import Any

import pytest

from dr_pipeline.canvases.build import build_store
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_bytes
from dr_pipeline.fundus.pixel_path import Photograph, PixelPath
from tests.factories.canvases import PATH, manifest_row, tree

DEADLY_BYTES = 777
TWO_WORKERS = EngineChoice(workers=2)


def test_workers_and_order_change_no_byte(photographs, store, tmp_path):
    root, rows = photographs
    build_store(rows[::-1], root, tmp_path / "again", PATH, num_shards=4, engines=TWO_WORKERS)
    assert tree(tmp_path / "again") == tree(store.root)


class Deadly(PixelPath):
    """A decoder that crashes its process on one file."""

    def process(self, data: bytes, **options: Any) -> Photograph:
        if len(data) == DEADLY_BYTES:
            os._exit(9)
        return super().process(data, **options)


def test_a_crashed_worker_is_an_error_that_names_its_files(photographs, tmp_path):
    root, rows = photographs
    deadly = b"x" * DEADLY_BYTES
    (root / "deadly.jpg").write_bytes(deadly)
    with pytest.raises(DataError, match="worker process died") as error:
        build_store(
            [*rows, manifest_row("deadly", "deadly.jpg", sha256_bytes(deadly))],
            root,
            tmp_path,
            Deadly(96),
            num_shards=2,
            engines=TWO_WORKERS,
        )
    assert error.value.where == str(root / "deadly.jpg")
    assert not (tmp_path / "index.csv").exists()


def test_workers_of_a_killed_run_end(photographs):
    """Their standard output is ours: it ends when the last of them has."""
    program = (
        "import os, pathlib, signal, sys\n"
        "from dr_pipeline.canvases.render import Source\n"
        "from dr_pipeline.fundus.pixel_path import PixelPath\n"
        "from dr_pipeline.canvases.workers import render_all\n"
        "from dr_pipeline.engines.choice import EngineChoice\n"
        "sources = [Source(str(n), pathlib.Path(sys.argv[1]), 'absent.jpg', '', 's') for n in range(40)]\n"
        "images = render_all(sources, sources[0].root, PixelPath(64), EngineChoice(workers=2))\n"
        "print(next(images).read_error, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", program, str(photographs[0])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.stdout == "the file is missing\n"
    assert done.returncode < 0
