"""Labelled folders and parts of a split, with the tables that are refused."""

from pathlib import Path

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.intake.graded_files import GradedFile, read_graded_folder, read_split_part
from dr_pipeline.tables.manifest import ManifestRow, write_manifest
from dr_pipeline.tables.splits import SplitRow, write_splits


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "more/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def table(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_are_found_by_name_and_rows_without_a_grade_are_left(folder: Path) -> None:
    labels = table(folder, "Image,eye,Diagnosis,patient\na.jpg,left,2,P1\nb.jpg,,,P1\nmore/c.jpg,,0,\n")
    assert read_graded_folder(folder, labels) == [
        GradedFile(folder / "a.jpg", 2, "patient:P1"),
        GradedFile(folder / "more/c.jpg", 0, "file:more/c.jpg"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,grade\na.jpg,5\n", "grade other than"),
        ("path,grade\nz.jpg,1\n", "1 of 1 photographs are not in"),
        ("path,grade\na.jpg,1\na.jpg,1\n", "named twice: a.jpg"),
        ("path,grade\na.jpg,\n", "no photograph has a grade"),
        ("path,stage\na.jpg,1\n", "no column grade"),
        ("name,grade\na.jpg,1\n", "no column path"),
    ],
)
def test_other_tables_are_refused(folder: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_graded_folder(folder, table(folder, text))


def test_a_missing_table_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_graded_folder(folder, folder / "none.csv")


def test_the_test_part_of_a_split(folder: Path) -> None:
    manifest, splits = folder / "manifest.csv", folder / "splits.csv"
    write_manifest(manifest, [ManifestRow(image_id=name, path=f"{name}.jpg", grade=1) for name in "ab"])
    write_splits(
        splits,
        [
            SplitRow(image_id="a", group="patient:1", grade=1, split="development", fold=0),
            SplitRow(image_id="b", group="patient:2", grade=3, split="test"),
        ],
    )
    assert read_split_part(folder, manifest, splits, "test") == [GradedFile(folder / "b.jpg", 3, "patient:2")]
    write_manifest(manifest, [ManifestRow(image_id="a", path="a.jpg", grade=1)])
    with pytest.raises(DataError, match="not in the manifest: b"):
        read_split_part(folder, manifest, splits, "test")
    write_splits(splits, [])
    with pytest.raises(DataError, match="is empty"):
        read_split_part(folder, manifest, splits, "test")
