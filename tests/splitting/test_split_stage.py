"""The stage, from the audited manifest to splits.csv and its report."""

import argparse
import json
import shutil
from pathlib import Path

import pytest

from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import write_csv
from dr_pipeline.schema import MANIFEST_COLUMNS
from dr_pipeline.splitting.read import read_splits
from dr_pipeline.stages import split

REPOSITORY = Path(__file__).resolve().parents[2]


def arguments(folder: Path, rows: list[dict[str, str]]) -> argparse.Namespace:
    empty = dict.fromkeys(MANIFEST_COLUMNS, "") | {"schema_version": "1", "excluded": "0"}
    write_csv(folder / "audited.csv", MANIFEST_COLUMNS, [empty | row for row in rows])
    shutil.copy(REPOSITORY / "params.yaml", folder / "params.yaml")
    return argparse.Namespace(
        params=folder / "params.yaml",
        audited=folder / "audited.csv",
        out=folder / "splits.csv",
        report=folder / "split.json",
    )


def eyes(patients: int, known: bool = True) -> list[dict[str, str]]:
    return [
        {"image_id": f"{n}-{eye}", "patient_id": f"P{n}" if known else "", "grade": str(n % 5)}
        for n in range(patients)
        for eye in ("left", "right")
    ]


def test_stage_writes_split_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [*eyes(100), {"image_id": "x", "grade": "1", "excluded": "1"}, {"image_id": "y", "grade": ""}]
    args = arguments(tmp_path, rows)
    outcome = split.run(args)
    written = read_splits(args.out)
    report = json.loads(args.report.read_text())
    assert len(written) == 200
    assert set(report["shared_between_parts"].values()) == {0}
    assert sum(part["photographs"] for part in report["parts"].values()) == 200
    assert report["patients_said"] == "patients known"
    assert "nothing shared" in outcome.headline
    first = args.out.read_bytes(), args.report.read_bytes()
    arguments(tmp_path, rows[::-1])
    split.run(args)
    assert (args.out.read_bytes(), args.report.read_bytes()) == first


def test_unknown_patients_are_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    args = arguments(tmp_path, eyes(60, known=False))
    assert "patients unknown" in split.run(args).headline


def test_too_few_of_a_grade_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [row for row in eyes(100) if row["grade"] != "4" or row["patient_id"] in ("P4", "P9")]
    args = arguments(tmp_path, rows)
    with pytest.raises(GateError, match="grade 4"):
        split.run(args)
    assert not args.out.exists()


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no photograph is left"):
        split.run(arguments(tmp_path, [{"image_id": "a", "grade": "1", "excluded": "1"}]))
