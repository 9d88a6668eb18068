"""Tables as Excel, other programs and people write them."""

from pathlib import Path

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.tables.foreign_csv import foreign_header, iterate_foreign

ROW = {"image": "ä.jpg", "grade": "2"}


def written(folder: Path, data: bytes) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("image,grade\nä.jpg,2\n".encode(), 2),
        ("image;grade\r\nä.jpg;2\r\n".encode("utf-8-sig"), 2),
        ("image\tgrade\nä.jpg\t2\n".encode("utf-16"), 2),
        (b"\xfe\xff" + "image\tgrade\nä.jpg\t2\n".encode("utf-16-be"), 2),
        ("image|grade\rä.jpg|2\r".encode(), 2),
        ('"image";"grade"\n"ä.jpg";"2"'.encode(), 2),
        (" image , grade \n ä.jpg ,\u00a02 \n".encode(), 2),
        ("sep=;\n\nimage;grade\nä.jpg;2\n".encode(), 4),
        ("\n;\nimage;grade\nä.jpg;2\n".encode(), 4),
    ],
)
def test_a_program_decides_on_encoding_and_sign(tmp_path: Path, data: bytes, line: int) -> None:
    path = written(tmp_path, data)
    assert foreign_header(path) == ["image", "grade"]
    assert list(iterate_foreign(path)) == [(line, ROW)]


def test_a_comma_in_the_header_is_what_divides(tmp_path: Path) -> None:
    path = written(tmp_path, b"image,grade;note\na.jpg,2;x\n")
    assert list(iterate_foreign(path)) == [(2, {"image": "a.jpg", "grade;note": "2;x"})]


def test_decimal_commas_stand_in_cells_of_a_table_with_semicolons(tmp_path: Path) -> None:
    assert list(iterate_foreign(written(tmp_path, b"image;grade\na.jpg;2,0\n"))) == [
        (2, {"image": "a.jpg", "grade": "2,0"})
    ]


def test_blank_rows_have_empty_cells_however_many_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, b"image,grade\na.jpg,2\n\n,,,\n;\n \n")
    with pytest.raises(DataError, match="row 5"):
        list(iterate_foreign(path))  # a semicolon is no blank
    rows = list(iterate_foreign(written(tmp_path, b"image,grade\na.jpg,2\n\n,,,\n \n")))
    assert rows[1:] == [(4, {"image": "", "grade": ""}), (5, {"image": "", "grade": ""})]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("image,grade\nä.jpg,2\n".encode("latin-1"), "not UTF-8: invalid"),
        (b"image,grade\na\0.jpg,2\n", "null characters"),
        ("image,grade\na.jpg,2\n".encode("utf-16")[:-1], "not UTF-8: truncated data"),
        (b"PK\x03\x04\x14\x00\x06\x00", "a workbook of Excel or LibreOffice, not a CSV table"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook of an older Excel"),
        (b'image,grade\n"a.jpg,2\n', "not a CSV table"),
        (b"image,grade\na.jpg,2,3\n", "row 2"),
        (b"image,grade\na.jpg\n", "row 2"),
    ],
)
def test_what_is_no_such_table_is_a_sentence(tmp_path: Path, data: bytes, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        list(iterate_foreign(written(tmp_path, data)))


def test_a_folder_and_a_missing_file_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a regular file"):
        foreign_header(tmp_path)
    with pytest.raises(DataError, match="No such file"):
        foreign_header(tmp_path / "labels.csv")


def test_an_empty_file_has_no_header(tmp_path: Path) -> None:
    assert foreign_header(written(tmp_path, b"")) == []
    assert list(iterate_foreign(written(tmp_path, b"\n\n"))) == []
