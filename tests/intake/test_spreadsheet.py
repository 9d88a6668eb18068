"""Workbooks: cells as text, and files that are refused before openpyxl parses them."""

import datetime
import re
import zipfile
from pathlib import Path

import openpyxl
import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.intake.spreadsheet import read_xlsx
from tests.factories.layouts import photograph, workbook

WORKSHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{}</worksheet>'


def test_texts_numbers_and_gaps(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["image_id", "DR_Levels"], ["1_l1", 0], ["", ""], [" x ", "5"], ["y"]])
    assert read_xlsx(path, ("image_id", "DR_Levels")) == [("1_l1", "0"), ("x", "5"), ("y", "")]


def test_columns_in_any_order_and_every_kind_of_cell(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    cells = [3, 3.0, 2.5, True, False, None, "007", datetime.date(2024, 2, 29), "=1+1"]
    for row in (["value", "name"], *([cell, f"n{number}"] for number, cell in enumerate(cells))):
        book.active.append(row)
    book.create_sheet("second").append(["other"])
    book.save(tmp_path / "a.xlsx")
    rows = read_xlsx(tmp_path / "a.xlsx", ("name", "value"))
    assert [name for name, _ in rows] == [f"n{number}" for number in range(len(cells))]
    # A formula that no program has calculated has no stored result.
    assert [value for _, value in rows] == ["3", "3", "2.5", "1", "0", "", "007", "2024-02-29T00:00:00", ""]


def test_inline_strings_and_a_wrong_dimension(tmp_path: Path) -> None:
    cell = '<c r="A{0}" t="inlineStr"><is><t>{1}</t></is></c>'
    rows = "".join(f'<row r="{n}">{cell.format(n, text)}</row>' for n, text in enumerate(("image_id", "a", "b"), 1))
    sheet = WORKSHEET.format(f'<dimension ref="A1:A2"/><sheetData>{rows}</sheetData>')
    assert read_xlsx(workbook(tmp_path / "a.xlsx", sheet=sheet), ("image_id",)) == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("sheet", "reason"),
    [
        (f'<!DOCTYPE x [<!ENTITY a "aaaa">]>{WORKSHEET.format("&a;")}', "declares a document type"),
        (f'<!DOCTYPE x [<!ENTITY a "aaaa">]>{WORKSHEET.format("&a;")}'.encode("utf-16"), "declares a document type"),
        ("<worksheet><row>", "cannot be read"),
        (WORKSHEET.format("<sheetData/>"), "column 'image_id' is missing; found no header"),
        (WORKSHEET.format(" " * (33 << 20)), "larger than 32 MiB"),
        (
            WORKSHEET.format(
                '<sheetData><row r="1"><c t="inlineStr"><is><t>image_id</t></is></c></row>'
                '<row r="999999999999"><c><v>1</v></c></row></sheetData>'
            ),
            "more rows than Excel allows",
        ),
    ],
)
def test_a_workbook_that_cannot_be_right_is_refused(tmp_path: Path, sheet: str | bytes, reason: str) -> None:
    path = workbook(tmp_path / "labels.xlsx", sheet=sheet)
    with pytest.raises(DataError, match=re.escape(str(path))) as caught:
        read_xlsx(path, ("image_id",))
    assert reason in str(caught.value)


def test_entities_in_any_part_are_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "labels.xlsx", [["image_id"], ["a"]])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/styles.bin", '<!DOCTYPE x [<!ENTITY a "aaaa">]><styleSheet>&a;</styleSheet>')
    with pytest.raises(DataError, match=r"styles\.bin in the workbook declares a document type"):
        read_xlsx(path, ("image_id",))


def test_a_file_that_is_not_a_workbook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_xlsx(photograph(tmp_path / "labels.xlsx"), ("image_id",))
    with zipfile.ZipFile(tmp_path / "other.xlsx", "w") as archive:
        archive.writestr("other", "x")
    with pytest.raises(DataError, match="cannot be read"):
        read_xlsx(tmp_path / "other.xlsx", ("image_id",))
    with pytest.raises(DataError, match="cannot be read"):
        read_xlsx(tmp_path / "missing.xlsx", ("image_id",))
