"""When a shard is reused and when it is rendered again."""

import tarfile
from pathlib import Path

import pytest

from dr_pipeline.canvases import shards
from dr_pipeline.canvases.shards import render_version, sidecar
from dr_pipeline.canvases.store import member_name, shard_name
from dr_pipeline.code_version import code_version, module_hashes
from dr_pipeline.files import read_json, write_json
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.schema import Status
from tests.factories.canvases import build, manifest_row, read_only_copy, tree


def test_shards_are_sorted_and_match_the_index(store):
    for path in store.root.glob("shard-*.tar"):
        with tarfile.open(path) as tar:
            names = tar.getnames()
        ids = sorted(i for i, r in store.rows.items() if r.shard == path.name)
        assert names == [member_name(i) for i in ids]
        assert all(shard_name(i, 4) == path.name for i in ids)


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
    out = read_only_copy(store, tmp_path / "store")
    damage(out / shard_name("patient 0", 4))
    assert build(rows, root, out).rendered == (shard_name("patient 0", 4),)
    assert tree(out) == tree(store.root)


def test_another_pixel_path_code_or_library_re_renders_all(photographs, store, tmp_path, monkeypatch):
    root, rows = photographs
    num_shards = len(list(store.root.glob("shard-*.tar")))
    out = read_only_copy(store, tmp_path / "store")
    assert len(build(rows, root, out, path=PixelPath(96, "green")).rendered) == num_shards
    assert len(build(rows, root, out).rendered) == num_shards
    assert tree(out) == tree(store.root)
    for part in render_version():
        with monkeypatch.context() as patch:
            patch.setattr(shards, "render_version", lambda part=part: render_version() | {part: "another"})
            assert len(build(rows, root, out).rendered) == num_shards, part


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
    rows = [manifest_row("patient 0", "0.jpg", rows[0].sha256)]
    first = build(rows, later, tmp_path / "store")
    assert first.rows[0].reason == "the file is missing"
    assert build(rows, later, tmp_path / "store").rendered == ()
    (later / "0.jpg").write_bytes(b"something else")
    assert "changed since intake" in build(rows, later, tmp_path / "store").rows[0].reason
    (later / "0.jpg").write_bytes(data)
    assert build(rows, later, tmp_path / "store").rows[0].status == Status.SCORED
    assert build(rows, later, tmp_path / "store").rendered == ()
