"""Labelled folders and parts of a split, with the tables that are refused."""

import subprocess
import sys
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
        ("path,grade\nz.jpg,1\n", r"labels without a photograph: z\.jpg \(1 in all\)"),
        ("path,grade\na.jpg,1\na.jpg,2\n", "named twice with different labels: a.jpg"),
        ("path,grade\na.jpg,\n", "no photograph has a grade"),
        ("path,stage\na.jpg,1\n", "no column grade or level"),
        ("name,grade\na.jpg,1\n", "no column path or image"),
    ],
)
def test_other_tables_are_refused(folder: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_graded_folder(folder, table(folder, text))


@pytest.mark.parametrize(
    "text",
    [
        "Image name;Retinopathy grade;Patient ID\r\nA.JPG;2,0;p1\r\nmore\\c;0;P0001\r\n;;\r\n",
        "file,level,patientID\nC:\\Users\\x\\a.jpg,2,p1\n/media/x/more/c.png,0,P-1\n",
        "id_code,diagnosis,patient\na,2,1\nc,0,001\n",
    ],
)
def test_tables_name_photographs_and_patients_as_people_do(folder: Path, text: str) -> None:
    files = read_graded_folder(folder, table(folder, text))
    assert [(file.path, file.grade) for file in files] == [(folder / "a.jpg", 2), (folder / "more/c.jpg", 0)]
    assert files[0].group == files[1].group == ("patient:1" if "id_code" in text else "patient:p1")


def test_an_id_that_names_nobody_joins_no_photographs(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = table(folder, "path,grade,patient\na.jpg,1,unknown\nb.jpg,2,unknown\nmore/c.jpg,0,P1\n")
    groups = [file.group for file in read_graded_folder(folder, labels)]
    assert groups == ["file:a.jpg", "file:b.jpg", "patient:P1"]
    assert "2 photographs have a patient id that names nobody" in caplog.text


def test_names_composed_otherwise_and_with_blanks_are_found(folder: Path) -> None:
    (folder / "Mu\u0308ller 1.jpg").write_bytes(b"x")  # as macOS writes an umlaut
    labels = table(folder, "path,grade\nMüller 1.jpg,3\n")
    assert [file.grade for file in read_graded_folder(folder, labels)] == [3]


def test_a_row_does_not_lead_out_of_the_folder(folder: Path) -> None:
    with pytest.raises(DataError, match="lead out of"):
        read_graded_folder(folder / "more", table(folder, "path,grade\n../a.jpg,1\n"))


def test_a_link_is_followed_where_a_row_names_it(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("archive") / "x.jpg"
    elsewhere.write_bytes(b"x")
    (folder / "link.jpg").symlink_to(elsewhere)
    assert read_graded_folder(folder, table(folder, "path,grade\nlink.jpg,1\n")) == [
        GradedFile(folder / "link.jpg", 1, "file:link.jpg")
    ]


def test_predictions_are_no_labels_and_a_first_row_is_not_repeated(folder: Path) -> None:
    with pytest.raises(DataError, match="a table of predictions"):
        read_graded_folder(folder, table(folder, "path,grade,bundle_id\na.jpg,1,ab\n"))
    with pytest.raises(DataError, match="a first row that is not a header") as caught:
        read_graded_folder(folder, table(folder, "a.jpg,1,Zyxwvut Quirinus\n"))
    assert "Quirinus" not in str(caught.value)


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


def test_the_base_installation_reads_labelled_folders() -> None:
    code = (
        "import sys; import dr_pipeline.intake.graded_files; "
        "print([name for name in ('pydantic', 'yaml', 'torch', 'pandas', 'openpyxl') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
