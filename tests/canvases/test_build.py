"""The store of canvases: one row per photograph, the same bytes for any number of workers, shards by id."""

import argparse
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from dr_pipeline.canvases import build, render, shards, workers
from dr_pipeline.canvases.build import StoreSummary, build_store
from dr_pipeline.canvases.render import Source, render_photograph
from dr_pipeline.canvases.shards import render_version, sidecar
from dr_pipeline.canvases.store import CanvasStore, member_name, shard_name
from dr_pipeline.code_version import code_version, module_hashes
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import read_json, sha256_bytes, sha256_file, write_json
from dr_pipeline.fundus.enhancement import enhance
from dr_pipeline.fundus.pixel_path import Photograph, PixelPath
from dr_pipeline.schema import Status
from dr_pipeline.stages import preprocess
from dr_pipeline.tables.canvas_index import read_canvas_index
from dr_pipeline.tables.manifest import ManifestRow, write_manifest
from tests.factories import REPOSITORY
from tests.factories.drawings import draw_fundus, encode, jpeg

PATH = PixelPath(96)
DEADLY_BYTES = 777
BROKEN = {"text": b"not a picture", "empty": b"", "cut": jpeg(draw_fundus(300, 300, 150, 150, 140))[:5000]}


def row(image_id: str, path: str, sha256: str) -> ManifestRow:
    return ManifestRow(image_id=image_id, path=path, sha256=sha256)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> tuple[Path, list[ManifestRow]]:
    """Nine good photographs in two folders; three broken, one missing, one unreadable, one changed since intake."""
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
    rows.append(row("unreadable", "loop.jpg", ""))
    (root / "loop.jpg").symlink_to("loop.jpg")
    page = encode(np.full((200, 200, 3), 255, np.uint8), ".png")
    (root / "page.png").write_bytes(page)
    rows.append(row("page", "page.png", sha256_bytes(page)))
    return root, rows


@pytest.fixture(scope="module")
def store(photographs, tmp_path_factory) -> CanvasStore:
    root, rows = photographs
    out = tmp_path_factory.mktemp("canvases")
    build_store(rows, root, out, PATH, num_shards=4, workers=1)
    return CanvasStore(out)


def tree(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in sorted(folder.iterdir())}


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
        assert failed.shard == failed.pixel_sha256 == failed.perceptual_hash == ""
        assert failed.quality is None
    assert store.rows["page"].status is Status.NOT_FUNDUS
    assert store.rows["page"].reason == "flat"
    assert store.rows["page"].format == "png"


def test_the_store_returns_the_pixel_path_s_canvases(photographs, store):
    root, rows = photographs
    for r in rows[:9]:
        photograph = PATH.process((root / r.path).read_bytes())
        assert np.array_equal(store.read(r.image_id), photograph.canvas)
        assert store.rows[r.image_id].pixel_sha256 == photograph.pixel_sha256


def test_enhancement_changes_the_canvas_and_not_the_index(photographs, store, tmp_path):
    root, rows = photographs
    again(rows, root, tmp_path, path=PixelPath(96, "ben_graham"))
    enhanced = CanvasStore(tmp_path)
    assert enhanced.pixel_path == PixelPath(96, "ben_graham")
    assert enhanced.rows == store.rows
    assert np.array_equal(enhanced.read("patient 1"), enhance(store.read("patient 1"), "ben_graham"))


def test_idrid_canvases_equal_the_scorer_s_bit_for_bit(idrid_dir, tmp_path):
    photographs = sorted(idrid_dir.rglob("*.jpg"))[:50:5]
    rows = [row(p.stem, p.relative_to(idrid_dir).as_posix(), sha256_file(p)) for p in photographs]
    build_store(rows, idrid_dir, tmp_path, PixelPath(256), num_shards=3, workers=1)
    stored = CanvasStore(tmp_path)
    for photograph in photographs:
        canvas = stored.pixel_path.process(photograph.read_bytes()).canvas
        assert np.array_equal(stored.read(photograph.stem), canvas)


def test_shards_are_sorted_and_match_the_index(store):
    for path in store.root.glob("shard-*.tar"):
        with tarfile.open(path) as tar:
            names = tar.getnames()
        ids = sorted(i for i, r in store.rows.items() if r.shard == path.name)
        assert names == [member_name(i) for i in ids]
        assert all(shard_name(i, 4) == path.name for i in ids)


def test_workers_and_order_change_no_byte(photographs, store, tmp_path):
    root, rows = photographs
    build_store(rows[::-1], root, tmp_path / "again", PATH, num_shards=4, workers=2)
    assert tree(tmp_path / "again") == tree(store.root)


def copied(store: CanvasStore, out: Path) -> Path:
    """The store's files, read-only as DVC's hard links are."""
    shutil.copytree(store.root, out)
    for path in out.iterdir():
        path.chmod(0o444)
    return out


def again(rows, root: Path, out: Path, *, num_shards: int = 4, path: PixelPath = PATH) -> StoreSummary:
    return build_store(rows, root, out, path, num_shards=num_shards, workers=1)


def test_a_second_run_renders_nothing_and_changes_no_byte(photographs, store, tmp_path, monkeypatch):
    root, rows = photographs
    out = copied(store, tmp_path / "store")
    monkeypatch.setattr(workers, "render_photograph", lambda *_args, **_kwargs: pytest.fail("rendered again"))
    summary = again(rows[::-1], root, out)
    assert summary.rendered == ()
    assert len(summary.reused) == len(list(out.glob("shard-*.tar")))
    assert [r.image_id for r in summary.rows] == list(store.rows)
    assert tree(out) == tree(store.root)


@pytest.mark.parametrize("change", ["added", "removed", "altered", "renamed"])
def test_a_change_re_renders_one_shard_as_a_run_from_scratch_would(change, photographs, store, tmp_path):
    root, rows = photographs
    if change == "added":
        changed, touched = [*rows, row("one more", rows[0].path, rows[0].sha256)], "one more"
    elif change == "removed":
        changed, touched = rows[1:], rows[0].image_id
    elif change == "altered":
        changed, touched = [row(rows[0].image_id, rows[2].path, rows[2].sha256), *rows[1:]], "patient 0"
    else:
        shutil.copy(root / rows[0].path, root / "renamed.jpg")
        changed, touched = [row("patient 0", "renamed.jpg", rows[0].sha256), *rows[1:]], "patient 0"
    out = copied(store, tmp_path / "store")
    summary = again(changed, root, out)
    assert summary.rendered == (shard_name(touched, 4),)
    again(changed, root, tmp_path / "from scratch")
    assert tree(out) == tree(tmp_path / "from scratch")
    differ = {name for name, sha256 in tree(out).items() if tree(store.root).get(name) != sha256}
    allowed = {"index.csv", shard_name(touched, 4), sidecar(Path(shard_name(touched, 4))).name}
    assert differ <= allowed
    assert (change == "renamed") == (shard_name(touched, 4) not in differ)  # the same pixels under another name


def test_a_hard_linked_cache_is_never_modified(photographs, store, tmp_path):
    root, rows = photographs
    out = copied(store, tmp_path / "store")
    cache = tmp_path / "cache"
    cache.mkdir()
    for path in out.iterdir():
        os.link(path, cache / path.name)
    again(rows[3:], root, out)
    assert tree(cache) == tree(store.root)


def damage_tar(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(data)


def damage_sidecar(shard: Path) -> None:
    sidecar(shard).chmod(0o644)
    sidecar(shard).write_text(sidecar(shard).read_text()[:-40])


def alter_row(shard: Path) -> None:
    facts = read_json(sidecar(shard))
    facts["rows"][0]["quality"] = "1.0000"
    write_json(sidecar(shard), facts)


def empty_sidecar(shard: Path) -> None:
    write_json(sidecar(shard), [])


def invalid_json_number(shard: Path) -> None:
    sidecar(shard).chmod(0o644)
    sidecar(shard).write_text(sidecar(shard).read_text().replace('"unread": {}', '"unread": {"a": NaN}'))


@pytest.mark.parametrize(
    "damage",
    [
        damage_tar,
        damage_sidecar,
        alter_row,
        empty_sidecar,
        invalid_json_number,
        Path.unlink,
        lambda shard: sidecar(shard).unlink(),
    ],
)
def test_a_damaged_shard_is_rendered_again(damage, photographs, store, tmp_path):
    root, rows = photographs
    out = copied(store, tmp_path / "store")
    damage(out / shard_name("patient 0", 4))
    assert again(rows, root, out).rendered == (shard_name("patient 0", 4),)
    assert tree(out) == tree(store.root)


def test_another_pixel_path_code_or_library_re_renders_all(photographs, store, tmp_path, monkeypatch):
    root, rows = photographs
    num_shards = len(list(store.root.glob("shard-*.tar")))
    out = copied(store, tmp_path / "store")
    assert len(again(rows, root, out, path=PixelPath(96, "green")).rendered) == num_shards
    assert len(again(rows, root, out).rendered) == num_shards
    assert tree(out) == tree(store.root)
    for part in render_version():
        with monkeypatch.context() as patch:
            patch.setattr(shards, "render_version", lambda part=part: render_version() | {part: "another"})
            assert len(again(rows, root, out).rendered) == num_shards, part


def test_the_code_version_covers_the_pixel_path():
    assert render_version()["code"] == code_version("dr_pipeline.canvases.render")
    modules = module_hashes("dr_pipeline.canvases.render")
    assert {"fundus/decode.py", "fundus/pixel_path.py", "fundus/quality/assess.py"} < set(modules)
    assert all(render_version().values())


def test_a_file_that_could_not_be_read_is_tried_again(photographs, tmp_path):
    root, rows = photographs
    later = tmp_path / "later"
    later.mkdir()
    data = (root / rows[0].path).read_bytes()
    rows = [row("patient 0", "0.jpg", rows[0].sha256)]
    first = again(rows, later, tmp_path / "store")
    assert first.rows[0].reason == "the file is missing"
    assert again(rows, later, tmp_path / "store").rendered == ()
    (later / "0.jpg").write_bytes(b"something else")
    assert "changed since intake" in again(rows, later, tmp_path / "store").rows[0].reason
    (later / "0.jpg").write_bytes(data)
    assert again(rows, later, tmp_path / "store").rows[0].status == Status.SCORED
    assert again(rows, later, tmp_path / "store").rendered == ()


def test_an_interrupted_run_continues_at_the_next_shard(photographs, store, tmp_path, monkeypatch):
    root, rows = photographs
    plain, calls = shards.write_shard, []

    def interrupted(out, shard, images):
        if len(calls) == 2:
            next(iter(images))
            raise KeyboardInterrupt
        calls.append(shard.name)
        return plain(out, shard, images)

    monkeypatch.setattr(build, "write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        again(rows, root, tmp_path / "store")
    assert not (tmp_path / "store" / "index.csv").exists()
    (tmp_path / "store" / ".shard-00003.tar.abc.part").write_bytes(b"killed while writing")
    monkeypatch.undo()
    summary = again(rows, root, tmp_path / "store")
    assert summary.reused == tuple(calls)
    assert len(summary.rendered) == len(list(store.root.glob("shard-*.tar"))) - 2
    assert tree(tmp_path / "store") == tree(store.root)


def test_shards_of_an_earlier_run_are_removed(photographs, tmp_path):
    root, rows = photographs
    again(rows, root, tmp_path, num_shards=7)
    (tmp_path / "notes.txt").write_text("not the store's")
    again(rows[:2], root, tmp_path, num_shards=1)
    names = ["index.csv", "notes.txt", "pixel_path.json", "shard-00000.json", "shard-00000.tar"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names


def test_ids_spread_evenly_over_shards():
    counts = np.unique([shard_name(f"image {k}", 8) for k in range(4000)], return_counts=True)[1]
    assert len(counts) == 8
    assert counts.min() > 420


def test_reading_an_absent_canvas_is_an_error(store, tmp_path):
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


def test_a_store_can_be_pickled(store):
    store.read("patient 1")
    again = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert np.array_equal(again.read("patient 2"), store.read("patient 2"))


def test_an_unexpected_error_names_the_file(photographs, monkeypatch):
    root, rows = photographs

    def fail(*_args):
        raise RuntimeError("surprise")

    monkeypatch.setattr(render, "encode_png", lambda _: b"")
    monkeypatch.setattr(PixelPath, "process", fail)
    with pytest.raises(DataError, match="surprise") as error:
        render_photograph(Source("patient 0", root, rows[0].path, rows[0].sha256, "shard-00000.tar"), PATH)
    assert error.value.where.endswith("0.jpg")


class Deadly(PixelPath):
    """A decoder that crashes its process on one file."""

    def process(self, data: bytes) -> Photograph:
        if len(data) == DEADLY_BYTES:
            os._exit(9)
        return super().process(data)


def test_a_crashed_worker_is_an_error_that_names_its_files(photographs, tmp_path):
    root, rows = photographs
    deadly = b"x" * DEADLY_BYTES
    (root / "deadly.jpg").write_bytes(deadly)
    with pytest.raises(DataError, match="worker process died") as error:
        build_store(
            [*rows, row("deadly", "deadly.jpg", sha256_bytes(deadly))],
            root,
            tmp_path,
            Deadly(96),
            num_shards=2,
            workers=2,
        )
    assert "deadly.jpg" in error.value.where
    assert not (tmp_path / "index.csv").exists()


def stage(photographs, out: Path, rows: list[ManifestRow]) -> argparse.Namespace:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["preprocess"] = {"canvas_px": 96, "num_shards": 4, "arm": "none"}
    out.mkdir(exist_ok=True)
    (out / "params.yaml").write_text(yaml.safe_dump(params))
    write_manifest(out / "manifest.csv", rows)
    parser = argparse.ArgumentParser()
    preprocess.add_arguments(parser)
    return parser.parse_args(
        f"--params {out / 'params.yaml'} --root {photographs[0]} --manifest {out / 'manifest.csv'} "
        f"--out {out / 'canvases'} --workers 1".split()
    )


def test_the_stage_writes_the_store_and_reports_it(photographs, store, tmp_path):
    outcome = preprocess.run(stage(photographs, tmp_path / "run", photographs[1]))
    assert tree(tmp_path / "run" / "canvases") == tree(store.root)
    assert outcome.headline.startswith("9 of 16 photographs gradable")
    assert "6 failed" in outcome.headline
    num_shards = len(list(store.root.glob("shard-*.tar")))
    assert outcome.headline.endswith(f"{num_shards} of {num_shards} shards rendered, 0 reused")
    outcome = preprocess.run(stage(photographs, tmp_path / "run", photographs[1]))
    assert outcome.headline.endswith(f"0 of {num_shards} shards rendered, {num_shards} reused")
    assert len(read_canvas_index(tmp_path / "run/canvases/index.csv")) == 16


def test_a_manifest_without_rows_stops_the_stage(photographs, tmp_path):
    with pytest.raises(DataError, match="no photographs"):
        preprocess.run(stage(photographs, tmp_path / "run", []))


def test_a_wrong_root_stops_the_stage(photographs, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        preprocess.run(stage((tmp_path / "nowhere", photographs[1]), tmp_path / "run", photographs[1]))


def test_workers_of_a_killed_run_end(photographs):
    """Their standard output is ours: it ends when the last of them has."""
    program = (
        "import os, pathlib, signal, sys\n"
        "from dr_pipeline.canvases.render import Source\n"
        "from dr_pipeline.fundus.pixel_path import PixelPath\n"
        "from dr_pipeline.canvases.workers import render_all\n"
        "sources = [Source(str(n), pathlib.Path(sys.argv[1]), 'absent.jpg', '', 's') for n in range(40)]\n"
        "images = render_all(sources, PixelPath(64), 2)\n"
        "print(next(images).read_error, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", program, str(photographs[0])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.stdout == "the file is missing\n"
    assert done.returncode < 0
