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

from dr_pipeline.canvases import build as preprocessing
from dr_pipeline.canvases import render as making
from dr_pipeline.canvases import shards, workers
from dr_pipeline.canvases.build import Written, write_store
from dr_pipeline.canvases.read import CanvasStore, member_name, shard_name
from dr_pipeline.canvases.render import Source, make
from dr_pipeline.canvases.shards import program, sidecar
from dr_pipeline.code_version import code_version, module_hashes
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import read_csv, read_json, sha256_bytes, sha256_file, write_csv, write_json
from dr_pipeline.fundus.enhancement import enhance
from dr_pipeline.fundus.pixel_path import Photograph, PixelPath
from dr_pipeline.schema import CANVAS_INDEX_COLUMNS, CANVAS_INDEX_VERSION, MANIFEST_COLUMNS, MANIFEST_VERSION, Status
from dr_pipeline.stages import preprocess
from tests.factories import REPOSITORY
from tests.factories.drawings import draw_fundus, encode, jpeg

PATH = PixelPath(96)
DEADLY_BYTES = 777
BROKEN = {"text": b"not a picture", "empty": b"", "cut": jpeg(draw_fundus(300, 300, 150, 150, 140))[:5000]}


def row(image_id: str, path: str, sha256: str) -> dict[str, str]:
    cells = dict.fromkeys(MANIFEST_COLUMNS, "")
    cells.update(schema_version=str(MANIFEST_VERSION), image_id=image_id, path=path, sha256=sha256)
    return cells


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> tuple[Path, list[dict[str, str]]]:
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
        assert good["format"] == "jpeg"
        assert len(good["perceptual_hash"]) == 64
        assert good["annotation"] == "0"
        assert 0 <= float(good["quality_spread"]) < 1
    reasons = {"text": "not a", "empty": "empty", "cut": "truncated", "missing": "missing", "changed": "changed"}
    reasons |= {"unreadable": "Too many levels of symbolic links"}
    for image_id, reason in reasons.items():
        failed = store.rows[image_id]
        assert failed["status"] == Status.FAILED
        assert reason in failed["reason"]
        assert failed["shard"] == failed["pixel_sha256"] == failed["perceptual_hash"] == failed["quality"] == ""
    assert store.rows["page"]["status"] == Status.NOT_FUNDUS
    assert store.rows["page"]["reason"] == "flat"
    assert store.rows["page"]["format"] == "png"


def test_the_store_gives_back_exactly_what_the_pixel_path_made(photographs, store):
    root, rows = photographs
    for r in rows[:9]:
        photograph = PATH.process((root / r["path"]).read_bytes())
        assert np.array_equal(store.read(r["image_id"]), photograph.canvas)
        assert store.rows[r["image_id"]]["pixel_sha256"] == photograph.pixel_sha256


def test_the_stored_canvas_has_the_arm_and_the_index_is_the_plain_canvas_s(photographs, store, tmp_path):
    root, rows = photographs
    again(rows, root, tmp_path, path=PixelPath(96, "ben_graham"))
    enhanced = CanvasStore(tmp_path)
    assert enhanced.pixel_path == PixelPath(96, "ben_graham")
    assert enhanced.rows == store.rows
    assert np.array_equal(enhanced.read("patient 1"), enhance(store.read("patient 1"), "ben_graham"))


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


def copied(store: CanvasStore, out: Path) -> Path:
    """The store's files, read-only as DVC's hard links are."""
    shutil.copytree(store.root, out)
    for path in out.iterdir():
        path.chmod(0o444)
    return out


def again(rows, root: Path, out: Path, *, num_shards: int = 4, path: PixelPath = PATH) -> Written:
    return write_store(rows, root, out, path, num_shards=num_shards, workers=1)


def test_a_second_run_makes_nothing_and_changes_no_byte(photographs, store, tmp_path, monkeypatch):
    root, rows = photographs
    out = copied(store, tmp_path / "store")
    monkeypatch.setattr(workers, "make", lambda *_args, **_kwargs: pytest.fail("a photograph was made again"))
    written = again(rows[::-1], root, out)
    assert written.made == ()
    assert len(written.kept) == len(list(out.glob("shard-*.tar")))
    assert [r["image_id"] for r in written.rows] == list(store.rows)
    assert tree(out) == tree(store.root)


@pytest.mark.parametrize("change", ["added", "removed", "altered", "renamed"])
def test_a_change_makes_one_shard_again_as_a_run_from_nothing_would(change, photographs, store, tmp_path):
    root, rows = photographs
    if change == "added":
        changed, touched = [*rows, row("one more", rows[0]["path"], rows[0]["sha256"])], "one more"
    elif change == "removed":
        changed, touched = rows[1:], rows[0]["image_id"]
    elif change == "altered":
        changed, touched = [row(rows[0]["image_id"], rows[2]["path"], rows[2]["sha256"]), *rows[1:]], "patient 0"
    else:
        shutil.copy(root / rows[0]["path"], root / "renamed.jpg")
        changed, touched = [row("patient 0", "renamed.jpg", rows[0]["sha256"]), *rows[1:]], "patient 0"
    out = copied(store, tmp_path / "store")
    written = again(changed, root, out)
    assert written.made == (shard_name(touched, 4),)
    again(changed, root, tmp_path / "from nothing")
    assert tree(out) == tree(tmp_path / "from nothing")
    differ = {name for name, sha256 in tree(out).items() if tree(store.root).get(name) != sha256}
    allowed = {"index.csv", shard_name(touched, 4), sidecar(Path(shard_name(touched, 4))).name}
    assert differ <= allowed
    assert (change == "renamed") == (shard_name(touched, 4) not in differ)  # the same pixels under another name


def test_a_hard_linked_cache_is_never_written_to(photographs, store, tmp_path):
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


def number_no_json_has(shard: Path) -> None:
    sidecar(shard).chmod(0o644)
    sidecar(shard).write_text(sidecar(shard).read_text().replace('"unread": {}', '"unread": {"a": NaN}'))


@pytest.mark.parametrize(
    "damage",
    [
        damage_tar,
        damage_sidecar,
        alter_row,
        empty_sidecar,
        number_no_json_has,
        Path.unlink,
        lambda shard: sidecar(shard).unlink(),
    ],
)
def test_a_damaged_shard_is_made_again(damage, photographs, store, tmp_path):
    root, rows = photographs
    out = copied(store, tmp_path / "store")
    damage(out / shard_name("patient 0", 4))
    assert again(rows, root, out).made == (shard_name("patient 0", 4),)
    assert tree(out) == tree(store.root)


def test_another_path_program_or_library_makes_all_again(photographs, store, tmp_path, monkeypatch):
    root, rows = photographs
    num_shards = len(list(store.root.glob("shard-*.tar")))
    out = copied(store, tmp_path / "store")
    assert len(again(rows, root, out, path=PixelPath(96, "green")).made) == num_shards
    assert len(again(rows, root, out).made) == num_shards
    assert tree(out) == tree(store.root)
    for part in program():
        with monkeypatch.context() as patch:
            patch.setattr(shards, "program", lambda part=part: program() | {part: "another"})
            assert len(again(rows, root, out).made) == num_shards, part


def test_the_code_version_covers_the_pixel_path():
    assert program()["code"] == code_version("dr_pipeline.canvases.render")
    modules = module_hashes("dr_pipeline.canvases.render")
    assert {"fundus/decode.py", "fundus/pixel_path.py", "fundus/quality/assess.py"} < set(modules)
    assert all(program().values())


def test_a_file_that_could_not_be_read_is_tried_again(photographs, tmp_path):
    root, rows = photographs
    later = tmp_path / "later"
    later.mkdir()
    data = (root / rows[0]["path"]).read_bytes()
    rows = [row("patient 0", "0.jpg", rows[0]["sha256"])]
    first = again(rows, later, tmp_path / "store")
    assert first.rows[0]["reason"] == "the file is missing"
    assert again(rows, later, tmp_path / "store").made == ()
    (later / "0.jpg").write_bytes(b"something else")
    assert "changed since intake" in again(rows, later, tmp_path / "store").rows[0]["reason"]
    (later / "0.jpg").write_bytes(data)
    assert again(rows, later, tmp_path / "store").rows[0]["status"] == Status.SCORED
    assert again(rows, later, tmp_path / "store").made == ()


def test_interrupted_work_goes_on_at_the_next_shard(photographs, store, tmp_path, monkeypatch):
    root, rows = photographs
    plain, calls = shards.write_shard, []

    def interrupted(out, shard, made):
        if len(calls) == 2:
            next(iter(made))
            raise KeyboardInterrupt
        calls.append(shard.name)
        return plain(out, shard, made)

    monkeypatch.setattr(preprocessing, "write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        again(rows, root, tmp_path / "store")
    assert not (tmp_path / "store" / "index.csv").exists()
    (tmp_path / "store" / ".shard-00003.tar.abc.part").write_bytes(b"killed while writing")
    monkeypatch.undo()
    written = again(rows, root, tmp_path / "store")
    assert written.kept == tuple(calls)
    assert len(written.made) == len(list(store.root.glob("shard-*.tar"))) - 2
    assert tree(tmp_path / "store") == tree(store.root)


def test_shards_of_an_earlier_run_do_not_stay(photographs, tmp_path):
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

    monkeypatch.setattr(making, "encode_png", lambda _: b"")
    monkeypatch.setattr(PixelPath, "process", fail)
    with pytest.raises(DataError, match="surprise") as error:
        make(Source("patient 0", root, rows[0]["path"], rows[0]["sha256"], "shard-00000.tar"), PATH)
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
    params["preprocess"] = {"canvas_px": 96, "num_shards": 4, "arm": "none"}
    out.mkdir(exist_ok=True)
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
    assert outcome.headline.startswith("9 of 16 photographs gradable")
    assert "6 failed" in outcome.headline
    num_shards = len(list(store.root.glob("shard-*.tar")))
    assert outcome.headline.endswith(f"{num_shards} of {num_shards} shards made, 0 kept")
    outcome = preprocess.run(stage(photographs, tmp_path / "run", photographs[1]))
    assert outcome.headline.endswith(f"0 of {num_shards} shards made, {num_shards} kept")
    rows = read_csv(tmp_path / "run/canvases/index.csv", CANVAS_INDEX_COLUMNS, version=CANVAS_INDEX_VERSION)
    assert len(rows) == 16


def test_a_manifest_without_rows_stops_the_stage(photographs, tmp_path):
    with pytest.raises(DataError, match="no photographs"):
        preprocess.run(stage(photographs, tmp_path / "run", []))


def test_a_wrong_root_stops_the_stage(photographs, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        preprocess.run(stage((tmp_path / "nowhere", photographs[1]), tmp_path / "run", photographs[1]))


def test_workers_of_a_killed_run_do_not_stay(photographs):
    """Their standard output is ours: it ends when the last of them has."""
    program = (
        "import os, pathlib, signal, sys\n"
        "from dr_pipeline.canvases.render import Source\n"
        "from dr_pipeline.fundus.pixel_path import PixelPath\n"
        "from dr_pipeline.canvases.workers import make_all\n"
        "sources = [Source(str(n), pathlib.Path(sys.argv[1]), 'absent.jpg', '', 's') for n in range(40)]\n"
        "made = make_all(sources, PixelPath(64), 2)\n"
        "print(next(made).unread, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", program, str(photographs[0])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.stdout == "the file is missing\n"
    assert done.returncode < 0
