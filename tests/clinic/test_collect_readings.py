"""Exports of the review page become one table: the latest reading counts, names come from the predictions."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.clinic.review.collect_readings import collect_readings
from dr_pipeline.clinic.review.make_review import batch_of
from dr_pipeline.errors import DataError
from dr_pipeline.schema import Eye
from dr_pipeline.tables.predictions import PredictionRow, write_predictions
from dr_pipeline.tables.review_readings import ReviewReadingRow, read_review_readings, write_review_readings
from tests.factories.review_pages import prediction

ROWS = [prediction(f"eye{number}", grade=number, patient_id=f"P{number}", site="hill") for number in range(4)]


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    write_predictions(tmp_path / "p.csv", ROWS)
    return tmp_path / "p.csv"


def reading(
    row: PredictionRow, grade: int | None, grader: str = "ab", *, at: int = 1, batch: str = ""
) -> ReviewReadingRow:
    """As the page exports it; with a batch: as a page without names does."""
    return ReviewReadingRow(
        image="" if batch else row.path,
        grade=grade,
        grader=grader,
        patient="" if batch else row.patient_id,
        eye=Eye.UNKNOWN,
        visit="",
        site="",
        camera="",
        ungradable=grade is None,
        comment="",
        number=1 + ROWS.index(row),
        image_id="" if batch else row.image_id,
        sha256=row.sha256,
        predicted_grade=row.grade,
        masked=True,
        read_at=f"2026-03-0{at}T10:00:00.000Z",
        batch=batch or "another",
    )


def export(path: Path, *readings: ReviewReadingRow) -> Path:
    write_review_readings(path, readings)
    return path


def test_readers_are_joined_and_the_latest_reading_counts(predictions: Path, tmp_path: Path) -> None:
    early = export(tmp_path / "a.csv", reading(ROWS[0], 1), reading(ROWS[2], None))
    late = export(tmp_path / "b.csv", reading(ROWS[0], 3, at=2), reading(ROWS[0], 2, "cd"))
    for order in ([early, late], [late, early]):
        collected = collect_readings(order, predictions)
        assert [(row.image_id, row.grader, row.grade) for row in collected] == [
            *(("eye0", "ab", 3), ("eye0", "cd", 2), ("eye2", "ab", None)),
        ]


def test_names_come_back_to_an_export_without_them(predictions: Path, tmp_path: Path, capsys) -> None:
    hidden = export(tmp_path / "a.csv", reading(ROWS[3], 4, batch=batch_of(predictions)))
    out = tmp_path / "readings.csv"
    assert cli.main(["review", str(predictions), "--readings", str(hidden), "--out", str(out)]) == 0
    assert "1 readings of 1 photographs by 1 readers" in capsys.readouterr().out
    (row,) = read_review_readings(out)
    assert (row.image, row.patient, row.site, row.grade) == ("eye3.jpg", "P3", "hill", 4)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "f" * 64},
        {"image_id": "gone"},
        {"image_id": "", "batch": "of another table"},
        {"image_id": "", "number": 9},
        {"image_id": "", "number": 0},
    ],
)
def test_a_reading_of_another_photograph_is_refused(predictions: Path, tmp_path: Path, changes) -> None:
    wrong = replace(reading(ROWS[1], 2), **{"batch": batch_of(predictions)} | changes)
    with pytest.raises(DataError, match=r"a\.csv, row 3"):
        collect_readings([export(tmp_path / "a.csv", reading(ROWS[0], 1), wrong)], predictions)


def test_a_graded_ungradable_photograph_and_a_reading_without_reader_are_refused() -> None:
    with pytest.raises(ValueError, match="ungradable and has a grade"):
        replace(reading(ROWS[0], 1), ungradable=True)
    with pytest.raises(ValueError, match="no reader"):
        replace(reading(ROWS[0], 1), grader="")
