"""The mechanism of the typed tables: round trips, errors that name the cell, and what is written byte for byte."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import DataError
from dr_pipeline.tables.table import Cell, Fixed4, GradeCell, Table, per_grade


class Colour(StrEnum):
    """An enumeration with an empty value, as the eye has."""

    RED = "red"
    NONE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One field of each kind."""

    name: str
    count: int
    grade: GradeCell | None = None
    ratio: float | None = None
    figure: Fixed4 = 0.0
    flag: bool = False
    perhaps: bool | None = None
    colour: Colour = Colour.NONE
    logits: Annotated[tuple[float, ...], per_grade("logit")]
    chances: Annotated[tuple[float, ...], per_grade("p", ".9g")] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a negative count."""
        if self.count < 0:
            raise ValueError(f"count {self.count} is below zero")


TABLE = Table(Row, version=3, todo="write it again")
ROW = Row(name="a", count=2, logits=(1.0, 2.0, 3.0, 4.0, 5.0))
HEADER = (
    "schema_version,name,count,grade,ratio,figure,flag,perhaps,colour,logit0,logit1,logit2,logit3,logit4,p0,p1,p2,p3,p4"
)
FIRST = "3,a,2,,,0.0000,0,,,1.000000,2.000000,3.000000,4.000000,5.000000,,,,,"
SECOND = '3,"b, c",-0,4,0.1,0.1235,1,0,red,1.000000,2.000000,3.000000,4.000000,5.000000,0.1,0.2,0.3,0.4,0'


def _write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_rows_are_written_byte_for_byte(tmp_path: Path) -> None:
    second = Row(
        name="b, c",
        count=0,
        grade=4,
        ratio=0.1,
        figure=0.12345678,
        flag=True,
        perhaps=False,
        colour=Colour.RED,
        logits=ROW.logits,
        chances=(0.1, 0.2, 0.3, 0.4, 0.0),
    )
    TABLE.write(tmp_path / "t.csv", iter([ROW, second]))
    expected = f"{HEADER}\n{FIRST}\n{SECOND.replace(',-0,', ',0,')}\n"
    assert (tmp_path / "t.csv").read_bytes() == expected.encode()


def test_values_have_the_types_of_their_columns_and_the_decimals_of_the_text() -> None:
    row = Row(name="a", count=2, figure=0.12345678, flag=True, colour=Colour.RED, logits=(1 / 3, 2.0, 3.0, 4.0, 5.0))
    values = TABLE.values(row)
    assert tuple(values) == tuple(TABLE.types) == TABLE.columns
    assert (values["schema_version"], values["figure"], values["flag"], values["logit0"]) == (3, 0.1235, True, 0.333333)
    assert values["grade"] is values["ratio"] is values["p0"] is None
    assert values["colour"] == "red"
    for column, value in values.items():
        assert value is None or type(value) in (TABLE.types[column], Colour)


def test_a_file_is_read_into_typed_rows(tmp_path: Path) -> None:
    first, second = TABLE.read(_write(tmp_path / "t.csv", HEADER, FIRST, SECOND))
    assert first == ROW
    assert (second.name, second.count, second.grade, second.ratio, second.figure) == ("b, c", 0, 4, 0.1, 0.1235)
    assert (second.flag, second.perhaps, second.colour) == (True, False, Colour.RED)
    assert second.chances == (0.1, 0.2, 0.3, 0.4, 0.0)


def test_further_columns_and_another_order_are_accepted(tmp_path: Path) -> None:
    table = Table(Row, version=None)
    names = [*reversed(table.columns), "note"]
    cells = table.cells(ROW) | {"note": "kept elsewhere"}
    path = _write(tmp_path / "t.csv", ",".join(names), ",".join(cells[name] for name in names))
    assert table.read(path) == [ROW]
    assert "schema_version" not in table.columns


@pytest.mark.parametrize(
    ("column", "text", "what"),
    [
        ("count", "two", "'two' is not an integer"),
        ("count", "", "'' is not an integer"),
        ("count", "1_0", "'1_0' is not an integer"),
        ("count", " 1", "' 1' is not an integer"),
        ("grade", "5", "'5' is not one of 0, 1, 2, 3, 4"),
        ("figure", "much", "'much' is not a number"),
        ("flag", "yes", "'yes' is neither 0 nor 1"),
        ("colour", "blue", "'blue' is not one of 'red', ''"),
        ("logit3", "x", "'x' is not a number"),
    ],
)
def test_a_cell_that_cannot_be_converted_is_named(tmp_path: Path, column: str, text: str, what: str) -> None:
    cells = TABLE.cells(ROW) | {column: text}
    path = _write(tmp_path / "t.csv", HEADER, FIRST, ",".join(cells.values()))
    with pytest.raises(DataError) as error:
        TABLE.read(path)
    named = "logit0–logit4" if column == "logit3" else column
    assert error.value.what == what
    assert error.value.where == f"{path}, row 3, column {named!r}"
    assert error.value.todo == "write it again"


def test_cells_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", HEADER, FIRST.replace(",2,", ",-2,", 1))
    with pytest.raises(DataError, match="count -2 is below zero") as error:
        TABLE.read(path)
    assert error.value.where == f"{path}, row 2"


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", HEADER, FIRST.replace("3,", "2,", 1))
    with pytest.raises(DataError, match="schema_version '2', expected 3"):
        TABLE.read(path)


def test_a_missing_column_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", "schema_version,name")
    with pytest.raises(DataError, match="column 'count' is missing"):
        TABLE.read(path)
    with pytest.raises(DataError, match="a table is missing"):
        TABLE.read(tmp_path / "none.csv")


def test_rows_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", HEADER, FIRST, "3,short")
    rows = TABLE.iterate(path)
    assert next(rows) == ROW
    with pytest.raises(DataError, match="more or fewer cells"):
        next(rows)


def test_a_field_of_another_type_is_refused_at_once() -> None:
    @dataclass(frozen=True)
    class Wrong:
        values: list[str]

    with pytest.raises(TypeError, match="a table cannot hold"):
        Table(Wrong, version=None)


def test_a_value_among_those_allowed(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Part:
        part: Annotated[str, Cell(among=("a", "b"))]

    table = Table(Part, version=None)
    assert table.read(_write(tmp_path / "t.csv", "part", "b")) == [Part(part="b")]
    with pytest.raises(DataError, match="'c' is not one of a, b"):
        table.read(_write(tmp_path / "t.csv", "part", "c"))


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_NUMBER = st.floats(allow_nan=False, width=32)


@given(
    st.lists(
        st.builds(
            Row,
            name=_TEXT,
            count=st.integers(0),
            grade=st.none() | st.integers(0, 4),
            ratio=st.none() | st.floats(allow_nan=False),
            figure=st.integers(-(10**8), 10**8).map(lambda n: n / 1e4),
            flag=st.booleans(),
            perhaps=st.none() | st.booleans(),
            colour=st.sampled_from(Colour),
            logits=st.tuples(*[st.integers(-(10**8), 10**8).map(lambda n: n / 1e6)] * 5),
            # nine significant digits restore a 32-bit float; what is read is a 64-bit one
            chances=st.none() | st.tuples(*[_NUMBER.map(lambda x: float(f"{x:.9g}"))] * 5),
        ),
        max_size=5,
    )
)
def test_rows_survive_a_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.csv"
    TABLE.write(path, rows)
    before = path.read_bytes()
    assert TABLE.read(path) == rows
    TABLE.write(path, TABLE.read(path))
    assert path.read_bytes() == before
