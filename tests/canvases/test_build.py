"""The store of canvases: incremental, and byte for byte that of a run from scratch."""

import os
import shutil
from pathlib import Path

import pytest

from dr_pipeline.canvases import build as build_module
from dr_pipeline.canvases import shards, workers
from dr_pipeline.canvases.shards import sidecar
from dr_pipeline.canvases.store import shard_name
from tests.factories.canvases import build, manifest_row, read_only_copy, tree


def test_a_second_run_renders_nothing_and_changes_no_byte(photographs, store, tmp_path, monkeypatch):
    root, rows = photographs
    out = read_only_copy(store, tmp_path / "store")
    monkeypatch.setattr(workers, "render_photograph", lambda *_args, **_kwargs: pytest.fail("rendered again"))
    summary = build(rows[::-1], root, out)
    assert summary.rendered == ()
    assert len(summary.reused) == len(list(out.glob("shard-*.tar")))
    assert [r.image_id for r in summary.rows] == list(store.rows)
    assert tree(out) == tree(store.root)


@pytest.mark.parametrize("change", ["added", "removed", "altered", "renamed"])
def test_a_change_re_renders_one_shard_as_a_run_from_scratch_would(change, photographs, store, tmp_path):
    root, rows = photographs
    if change == "added":
        changed, touched = [*rows, manifest_row("one more", rows[0].path, rows[0].sha256)], "one more"
    elif change == "removed":
        changed, touched = rows[1:], rows[0].image_id
    elif change == "altered":
        changed, touched = [manifest_row(rows[0].image_id, rows[2].path, rows[2].sha256), *rows[1:]], "patient 0"
    else:
        shutil.copy(root / rows[0].path, root / "renamed.jpg")
        changed, touched = [manifest_row("patient 0", "renamed.jpg", rows[0].sha256), *rows[1:]], "patient 0"
    out = read_only_copy(store, tmp_path / "store")
    summary = build(changed, root, out)
    assert summary.rendered == (shard_name(touched, 4),)
    build(changed, root, tmp_path / "from scratch")
    assert tree(out) == tree(tmp_path / "from scratch")
    differ = {name for name, sha256 in tree(out).items() if tree(store.root).get(name) != sha256}
    allowed = {"index.csv", shard_name(touched, 4), sidecar(Path(shard_name(touched, 4))).name}
    assert differ <= allowed
    assert (change == "renamed") == (shard_name(touched, 4) not in differ)  # the same pixels under another name


def test_a_hard_linked_cache_is_never_modified(photographs, store, tmp_path):
    root, rows = photographs
    out = read_only_copy(store, tmp_path / "store")
    cache = tmp_path / "cache"
    cache.mkdir()
    for path in out.iterdir():
        os.link(path, cache / path.name)
    build(rows[3:], root, out)
    assert tree(cache) == tree(store.root)


def test_an_interrupted_run_continues_at_the_next_shard(photographs, store, tmp_path, monkeypatch):
    root, rows = photographs
    plain, calls = shards.write_shard, []

    def interrupted(out, shard, images):
        if len(calls) == 2:
            next(iter(images))
            raise KeyboardInterrupt
        calls.append(shard.name)
        return plain(out, shard, images)

    monkeypatch.setattr(build_module, "write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(rows, root, tmp_path / "store")
    assert not (tmp_path / "store" / "index.csv").exists()
    (tmp_path / "store" / ".shard-00003.tar.abc.part").write_bytes(b"killed while writing")
    monkeypatch.undo()
    summary = build(rows, root, tmp_path / "store")
    assert summary.reused == tuple(calls)
    assert len(summary.rendered) == len(list(store.root.glob("shard-*.tar"))) - 2
    assert tree(tmp_path / "store") == tree(store.root)


def test_shards_of_an_earlier_run_are_removed(photographs, tmp_path):
    root, rows = photographs
    build(rows, root, tmp_path, num_shards=7)
    (tmp_path / "notes.txt").write_text("not the store's")
    build(rows[:2], root, tmp_path, num_shards=1)
    names = ["index.csv", "notes.txt", "pixel_path.json", "shard-00000.json", "shard-00000.tar"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
