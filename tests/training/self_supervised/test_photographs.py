"""No held-out photograph is learnt from: not itself, not a copy, not one of its patient, eye or site."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_bytes
from dr_pipeline.schema import Split
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.splits import DEVELOPMENT, SplitRow
from dr_pipeline.training.self_supervised.photographs import (
    COPIES,
    OF_HELD_OUT,
    TEST_OR_VALIDATION,
    UNNAMEABLE,
    Photographs,
    collect_photographs,
    related_ids,
)
from tests.factories.canvases import IN_PROCESS, build
from tests.factories.drawings import draw_fundus, encode, jpeg, with_tissue

pytestmark = pytest.mark.slow


def row(image_id: str, *, grade: int | None = 0, **known: object) -> ManifestRow:
    return ManifestRow(image_id=image_id, path=f"{image_id}.jpg", grade=grade, **known)  # type: ignore[arg-type]


def part(image_id: str, split: str = DEVELOPMENT, fold: int | None = None, site: str = "") -> SplitRow:
    return SplitRow(image_id=image_id, group=image_id, grade=0, split=split, fold=fold, site=site)


def related(audited: list[ManifestRow], splits: list[SplitRow]) -> set[str]:
    held_out = {one.image_id for one in splits if one.split == Split.TEST}
    return related_ids(audited, splits, held_out)


def test_all_of_a_held_out_patient_and_eye_is_related_through_photographs_without_grades_too() -> None:
    audited = [
        row("test", patient_id="A"),
        row("fellow", patient_id="A", grade=None),
        row("copy", grade=None, duplicate_cluster="c"),
        row("bridge", patient_id="A", grade=None, duplicate_cluster="c"),
        row("eye", grade=None, patient_id="B", same_eye="e"),
        row("excluded", patient_id="A", same_eye="e", excluded=True),
        row("other of B", patient_id="B"),
        row("free", patient_id="C", grade=None),
        row("unknown", grade=None),
    ]
    splits = [part("test", "test"), part("other of B", fold=1)]
    assert related(audited, splits) == {"test", "fellow", "copy", "bridge", "eye", "excluded", "other of B"}


def test_an_official_test_part_without_grades_and_a_site_of_the_test_part_alone_are_related() -> None:
    audited = [
        row("official", grade=None, official_split=Split.TEST),
        row("tested site", site="T"),
        row("more of that site", grade=None, site="T"),
        row("trained site", grade=None, site="D"),
        row("test of the trained site", site="D"),
        row("training", site="D"),
        row("no site", grade=None),
    ]
    splits = [
        part("tested site", "test", site="T"), part("test of the trained site", "test", site="D"),
        part("training", fold=0, site="D"),
    ]  # fmt: skip
    assert related(audited, splits) == {"official", "tested site", "more of that site", "test of the trained site"}


def test_a_split_of_other_photographs_is_refused() -> None:
    with pytest.raises(DataError, match="1 photographs of the split are not in the audited manifest"):
        related([row("a")], [part("b", "test")])


def fundus(seed: int, px: int = 300) -> bytes:
    return jpeg(with_tissue(draw_fundus(px, px, px / 2, px / 2, 0.47 * px, seed=seed), seed))


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[CanvasStore, list[ManifestRow], list[SplitRow]]:
    """Two photographs each in training (one without a grade), test and validation, and a page of text."""
    root = tmp_path_factory.mktemp("data set")
    names = {"train": 1, "ungraded": 2, "test": 3, "test2": 4, "validation": 5, "validation2": 6}
    files = {name: fundus(seed) for name, seed in names.items()}
    files["page"] = encode(draw_fundus(300, 300, 150, 150, 0.1) * 0 + 255, ".png")
    rows = []
    for name, data in files.items():
        (root / f"{name}.jpg").write_bytes(data)
        grade = None if name in ("ungraded", "page") else 0
        rows.append(replace(row(name, grade=grade), sha256=sha256_bytes(data)))
    build(rows, root, root / "canvases")
    splits = [part("train"), part("test", "test"), part("test2", "test")]
    splits += [part("validation", fold=0), part("validation2", fold=0)]
    return CanvasStore(root / "canvases"), rows, splits


def collect(data_set, folder: Path, scratch: Path, *, fold: int = 0) -> Photographs:
    store, audited, splits = data_set
    return collect_photographs(store, audited, splits, fold, folder=folder, scratch=scratch, engines=IN_PROCESS)


def test_the_data_set_alone_is_its_own_folder(data_set, tmp_path: Path) -> None:
    pool = collect(data_set, data_set[0].root, tmp_path / "scratch")
    assert pool.names == ("data set/train", "data set/ungraded")
    assert pool.left_out == {TEST_OR_VALIDATION: 4, "not_fundus": 1}
    assert not (tmp_path / "scratch").exists()
    assert pool.read("data set/train").shape == (pool.canvas_px, pool.canvas_px, 3)
    assert len(collect(data_set, data_set[0].root, tmp_path / "scratch", fold=1).names) == 4


def test_of_a_folder_copies_of_held_out_photographs_are_left_out(data_set, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    (folder / "more").mkdir(parents=True)
    held_out = with_tissue(draw_fundus(300, 300, 150, 150, 141, seed=4), 4)
    for name, data in {
        "new.jpg": fundus(20),
        "more/new.jpg": fundus(21),
        "the test photograph under another name.jpg": fundus(3),
        "the same, recompressed.jpg": jpeg(held_out, 60),
        "the same pixels in another format.png": encode(held_out, ".png"),
        "a copy of a training photograph.jpg": fundus(1),
        "broken.jpg": b"\xff\xd8 not a picture",
        "notes.txt": b"no photograph",
    }.items():
        (folder / name).write_bytes(data)
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(fundus(22))
    pool = collect(data_set, folder, tmp_path / "scratch")
    assert pool.left_out == {TEST_OR_VALIDATION: 4, "not_fundus": 1, COPIES: 3, "failed": 1, UNNAMEABLE: 1}
    assert len(pool.names) == 2 + 3
    assert pool.read(pool.names[-1]).shape == (pool.canvas_px, pool.canvas_px, 3)
    assert OF_HELD_OUT not in pool.left_out
    # the test photographs alone: nothing is left of the folder
    for path in folder.iterdir():
        if path.is_file() and not path.name.startswith("the test"):
            path.unlink()
    (folder / "more" / "new.jpg").unlink()
    assert collect(data_set, folder, tmp_path / "scratch").names == ("data set/train", "data set/ungraded")


def test_a_folder_that_is_missing_or_empty_is_an_error(data_set, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the folder of photographs is missing"):
        collect(data_set, tmp_path / "none", tmp_path / "scratch")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no photograph found"):
        collect(data_set, tmp_path / "empty", tmp_path / "scratch")
