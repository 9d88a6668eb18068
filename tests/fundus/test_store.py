"""The store of canvases: one row per photograph, the same bytes for any number of workers, shards by id."""

import argparse
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import read_csv, read_json, sha256_bytes, sha256_file, write_csv, write_json
from dr_pipeline.fundus import preprocessing
from dr_pipeline.fundus.canvases import CanvasStore, member_name, shard_name
from dr_pipeline.fundus.pixel_path import Photograph, PixelPath
from dr_pipeline.fundus.preprocessing import Source, make, write_store
from dr_pipeline.schema import CANVAS_INDEX_COLUMNS, CANVAS_INDEX_VERSION, MANIFEST_COLUMNS, MANIFEST_VERSION, Status
from dr_pipeline.stages import preprocess
from tests.conftest import REPOSITORY
from tests.fundus.fundus_drawings import draw_fundus, encode, jpeg

PATH = PixelPath(96)
DEADLY_BYTES = 777
BROKEN = {"text": b"not a picture", "empty": b"", "cut": jpeg(draw_fundus(300, 300, 150, 150, 140))[:5000]}


def row(image_id: str, path: str, sha256: str) -> dict[str, str]:
    cells = dict.fromkeys(MANIFEST_COLUMNS, "")
    cells.update(schema_version=str(MANIFEST_VERSION), image_id=image_id, path=path, sha256=sha256)
    return cells


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> tuple[Path, list[dict[str, str]]]:
    """Nine good photographs in two folders, three broken files, one missing file and one changed since intake."""
    root = tmp_path_factory.mktemp("photographs")
    (root / "left eye").mkdir()
    rows = []
    for number in range(9):
        data = jpeg(draw_fundus(400, 360, 200, 180, 170, seed=number))
        path = root / ("left eye" if number % 2 else ".") / f"{number}.jpg"
        path.write_bytes(data)
        rows.append(row(f"patient {number}", path.relative_to(root).as_posix(), sha256_bytes(data)))
    for name, data in BROKEN.items():
        (root / f"{name}.jpg").write_bytes(data)
        rows.append(row(name, f"{name}.jpg", sha256_bytes(data)))
    rows.append(row("missing", "missing.jpg", "0" * 64))
    rows.append(row("changed", "0.jpg", "0" * 64))
    page = encode(np.full((200, 200, 3), 255, np.uint8), ".png")
    (root / "page.png").write_bytes(page)
    rows.append(row("page", "page.png", sha256_bytes(page)))
    return root, rows


@pytest.fixture(scope="module")
def store(photographs, tmp_path_factory) -> CanvasStore:
    root, rows = photographs
    out = tmp_path_factory.mktemp("canvases")
    write_store(rows, root, out, PATH, num_shards=4, workers=1)
    return CanvasStore(out)


def tree(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in sorted(folder.iterdir())}


def test_every_photograph_has_a_row_with_status_and_reason(photographs, store):
    _, rows = photographs
    assert list(store.rows) == sorted(r["image_id"] for r in rows)
    assert store.pixel_path == PATH
    for number in range(9):
        good = store.rows[f"patient {number}"]
        assert good["status"] == Status.SCORED
        assert good["disc_fit"] == "circle"
        assert (good["width"], good["height"]) == ("400", "360")
        assert float(good["disc_radius"]) == pytest.approx(170, abs=2)
        assert good["reason"] == ""
    reasons = {"text": "not a JPEG", "empty": "empty", "cut": "truncated", "missing": "missing", "changed": "changed"}
    for image_id, reason in reasons.items():
        failed = store.rows[image_id]
        assert failed["status"] == Status.FAILED
        assert reason in failed["reason"]
        assert failed["shard"] == failed["pixel_sha256"] == failed["quality"] == ""
    assert store.rows["page"]["status"] == Status.NOT_FUNDUS
    assert store.rows["page"]["reason"] == "flat"


def test_the_store_gives_back_exactly_what_the_pixel_path_made(photographs, store):
    root, rows = photographs
    for r in rows[:9]:
        photograph = PATH.process((root / r["path"]).read_bytes())
        assert np.array_equal(store.read(r["image_id"]), photograph.canvas)
        assert store.rows[r["image_id"]]["pixel_sha256"] == photograph.pixel_sha256


def test_idrid_canvases_are_the_scorers_bit_for_bit(idrid_dir, tmp_path):
    photographs = sorted(idrid_dir.rglob("*.jpg"))[:50:5]
    rows = [row(p.stem, p.relative_to(idrid_dir).as_posix(), sha256_file(p)) for p in photographs]
    write_store(rows, idrid_dir, tmp_path, PixelPath(256), num_shards=3, workers=1)
    stored = CanvasStore(tmp_path)
    for photograph in photographs:
        canvas = stored.pixel_path.process(photograph.read_bytes()).canvas
        assert np.array_equal(stored.read(photograph.stem), canvas)


def test_shards_are_sorted_and_hold_what_the_index_says(store):
    for path in store.root.glob("shard-*.tar"):
        with tarfile.open(path) as tar:
            names = tar.getnames()
        ids = sorted(i for i, r in store.rows.items() if r["shard"] == path.name)
        assert names == [member_name(i) for i in ids]
        assert all(shard_name(i, 4) == path.name for i in ids)


def test_workers_and_order_change_no_byte(photographs, store, tmp_path):
    root, rows = photographs
    write_store(rows[::-1], root, tmp_path / "again", PATH, num_shards=4, workers=2)
    assert tree(tmp_path / "again") == tree(store.root)


def test_one_more_photograph_touches_one_shard(photographs, store, tmp_path):
    root, rows = photographs
    more = [*rows, row("one more", rows[0]["path"], rows[0]["sha256"])]
    write_store(more, root, tmp_path, PATH, num_shards=4, workers=1)
    before, after = tree(store.root), tree(tmp_path)
    assert {n for n in after if before.get(n) != after[n]} == {"index.csv", shard_name("one more", 4)}


def test_shards_of_an_earlier_run_do_not_stay(photographs, tmp_path):
    root, rows = photographs
    write_store(rows, root, tmp_path, PATH, num_shards=7, workers=1)
    write_store(rows[:2], root, tmp_path, PATH, num_shards=1, workers=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.csv", "pixel_path.json", "shard-00000.tar"]


def test_ids_spread_evenly_over_shards():
    counts = np.unique([shard_name(f"image {k}", 8) for k in range(4000)], return_counts=True)[1]
    assert len(counts) == 8
    assert counts.min() > 420


def test_reading_what_is_not_there_says_so(store, tmp_path):
    with pytest.raises(DataError, match="no canvas of 'nobody'"):
        store.read("nobody")
    with pytest.raises(DataError, match="empty"):
        store.read("empty")
    with pytest.raises(DataError):
        CanvasStore(tmp_path)


def test_a_store_of_another_version_is_refused(store, tmp_path):
    for path in store.root.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_json(tmp_path / "pixel_path.json", read_json(tmp_path / "pixel_path.json") | {"version": 99})
    with pytest.raises(BundleError, match="99"):
        CanvasStore(tmp_path)
    write_json(tmp_path / "pixel_path.json", [])
    with pytest.raises(DataError):
        CanvasStore(tmp_path)


def test_a_store_can_be_sent_to_another_process(store):
    store.read("patient 1")
    again = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert np.array_equal(again.read("patient 2"), store.read("patient 2"))


def test_an_unexpected_error_names_the_file(photographs, monkeypatch):
    root, rows = photographs

    def fail(*_args):
        raise RuntimeError("surprise")

    monkeypatch.setattr(preprocessing, "encode_png", lambda _: b"")
    monkeypatch.setattr(PixelPath, "process", fail)
    with pytest.raises(DataError, match="surprise") as error:
        make(Source("patient 0", root / rows[0]["path"], rows[0]["sha256"], "shard-00000.tar"), PATH)
    assert error.value.where.endswith("0.jpg")


class Deadly(PixelPath):
    """A decoder that crashes its process on one file."""

    def process(self, data: bytes) -> Photograph:
        if len(data) == DEADLY_BYTES:
            os._exit(9)
        return super().process(data)


def test_a_crashed_worker_names_the_files_it_may_have_died_on(photographs, tmp_path):
    root, rows = photographs
    deadly = b"x" * DEADLY_BYTES
    (root / "deadly.jpg").write_bytes(deadly)
    with pytest.raises(DataError, match="worker process died") as error:
        write_store(
            [*rows, row("deadly", "deadly.jpg", sha256_bytes(deadly))],
            root,
            tmp_path,
            Deadly(96),
            num_shards=2,
            workers=2,
        )
    assert "deadly.jpg" in error.value.where
    assert not (tmp_path / "index.csv").exists()


def stage(photographs, out: Path, rows: list[dict[str, str]]) -> argparse.Namespace:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["preprocess"] = {"canvas_px": 96, "num_shards": 4}
    out.mkdir()
    (out / "params.yaml").write_text(yaml.safe_dump(params))
    write_csv(out / "manifest.csv", MANIFEST_COLUMNS, rows)
    parser = argparse.ArgumentParser()
    preprocess.add_arguments(parser)
    return parser.parse_args(
        f"--params {out / 'params.yaml'} --root {photographs[0]} --manifest {out / 'manifest.csv'} "
        f"--out {out / 'canvases'} --workers 1".split()
    )


def test_the_stage_writes_the_store_and_says_so(photographs, store, tmp_path):
    outcome = preprocess.run(stage(photographs, tmp_path / "run", photographs[1]))
    assert tree(tmp_path / "run" / "canvases") == tree(store.root)
    assert outcome.headline.startswith("9 of 15 photographs gradable")
    assert "5 failed" in outcome.headline
    rows = read_csv(tmp_path / "run/canvases/index.csv", CANVAS_INDEX_COLUMNS, version=CANVAS_INDEX_VERSION)
    assert len(rows) == 15


def test_a_manifest_without_rows_stops_the_stage(photographs, tmp_path):
    with pytest.raises(DataError, match="no photographs"):
        preprocess.run(stage(photographs, tmp_path / "run", []))
