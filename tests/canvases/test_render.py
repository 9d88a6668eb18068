"""One photograph: its row with status and reason, and the canvas of the pixel path."""

import numpy as np
import pytest

from dr_pipeline.canvases import render
from dr_pipeline.canvases.build import build_store
from dr_pipeline.canvases.render import Source, render_photograph
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_file
from dr_pipeline.fundus.enhancement import enhance
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.schema import Status
from tests.factories.canvases import IN_PROCESS, PATH, build, manifest_row


def test_every_photograph_has_a_row_with_status_and_reason(photographs, store):
    _, rows = photographs
    assert list(store.rows) == sorted(r.image_id for r in rows)
    assert store.pixel_path == PATH
    for number in range(9):
        good = store.rows[f"patient {number}"]
        assert good.status is Status.SCORED
        assert good.disc_fit == "circle"
        assert (good.width, good.height) == (400, 360)
        assert good.disc_radius == pytest.approx(170, abs=2)
        assert good.reason == ""
        assert good.format == "jpeg"
        assert len(good.perceptual_hash) == 64
        assert good.annotation is False
        assert 0 <= good.quality_spread < 1
    reasons = {"text": "not a", "empty": "empty", "cut": "truncated", "missing": "missing", "changed": "changed"}
    reasons |= {"unreadable": "Too many levels of symbolic links"}
    for image_id, reason in reasons.items():
        failed = store.rows[image_id]
        assert failed.status is Status.FAILED
        assert reason in failed.reason
        assert failed.shard == failed.pixel_hash == failed.perceptual_hash == ""
        assert failed.quality is None
    assert store.rows["page"].status is Status.NOT_FUNDUS
    assert store.rows["page"].reason == "flat"
    assert store.rows["page"].format == "png"


def test_the_store_returns_the_pixel_path_s_canvases(photographs, store):
    root, rows = photographs
    for r in rows[:9]:
        photograph = PATH.process((root / r.path).read_bytes())
        assert np.array_equal(store.read(r.image_id), photograph.canvas)
        assert store.rows[r.image_id].pixel_hash == photograph.pixel_hash


def test_enhancement_changes_the_canvas_and_not_the_index(photographs, store, tmp_path):
    root, rows = photographs
    build(rows, root, tmp_path, path=PixelPath(96, "ben_graham"))
    enhanced = CanvasStore(tmp_path)
    assert enhanced.pixel_path == PixelPath(96, "ben_graham")
    assert enhanced.rows == store.rows
    assert np.array_equal(enhanced.read("patient 1"), enhance(store.read("patient 1"), "ben_graham"))


def test_idrid_canvases_equal_the_scorer_s_bit_for_bit(idrid_dir, tmp_path):
    photographs = sorted(idrid_dir.rglob("*.jpg"))[:50:5]
    rows = [manifest_row(p.stem, p.relative_to(idrid_dir).as_posix(), sha256_file(p)) for p in photographs]
    build_store(rows, idrid_dir, tmp_path, PixelPath(256), num_shards=3, engines=IN_PROCESS)
    stored = CanvasStore(tmp_path)
    for photograph in photographs:
        canvas = stored.pixel_path.process(photograph.read_bytes()).canvas
        assert np.array_equal(stored.read(photograph.stem), canvas)


def test_an_unexpected_error_names_the_file(photographs, monkeypatch):
    root, rows = photographs

    def fail(*_args):
        raise RuntimeError("surprise")

    monkeypatch.setattr(render, "encode_png", lambda _: b"")
    monkeypatch.setattr(PixelPath, "process", fail)
    with pytest.raises(DataError, match="surprise") as error:
        render_photograph(Source("patient 0", root, rows[0].path, rows[0].sha256, "shard-00000.tar"), PATH)
    assert error.value.where.endswith("0.jpg")
