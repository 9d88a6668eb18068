"""The stage, from the audited manifest to splits.csv and its report."""

import argparse
import hashlib
import json
from pathlib import Path

import pytest
import yaml

from dr_pipeline.errors import DataError, GateError
from dr_pipeline.schema import Split
from dr_pipeline.stages import split
from dr_pipeline.tables.manifest import MANIFEST
from dr_pipeline.tables.splits import read_splits, select_split
from tests.factories import REPOSITORY
from tests.factories.csv_files import write_csv


def arguments(folder: Path, rows: list[dict[str, str]], **changes: object) -> argparse.Namespace:
    known = {"schema_version": str(MANIFEST.version), "excluded": "0", "role": "all"}
    empty = dict.fromkeys(MANIFEST.columns, "") | known
    write_csv(folder / "audited.csv", MANIFEST.columns, [empty | row for row in rows])
    document = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    document["split"].update(changes)
    (folder / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return argparse.Namespace(
        params=folder / "params.yaml",
        audited=folder / "audited.csv",
        out=folder / "splits.csv",
        report=folder / "split.json",
    )


def eyes(patients: int, known: bool = True) -> list[dict[str, str]]:
    return [
        {
            "image_id": f"{n}-{eye}",
            "patient_id": f"P{n}" if known else "",
            "eye": eye,
            "site": ("hill", "lake")[n // 5 % 2],
            "official_split": ("test", "validation", "train", "train")[n // 5 % 4],
            "grade": str(n % 5),
            "perceptual_hash": hashlib.sha256(f"{n}-{eye}".encode()).hexdigest(),
        }
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
    assert sum(counts["photographs"] for counts in report["parts"].values()) == 200
    assert report["patients_said"] == "patients known"
    assert report["look_alikes"]["not_probed"] == 0
    assert report["grades_by_part"]["p"] > 0.99
    assert {row.eye for row in written} == {"left", "right"}
    assert {row.site for row in written} == {"hill", "lake"}
    assert "nothing shared" in outcome.headline
    assert "0 of 200 held-out photographs within 24 bits" in outcome.headline
    first = args.out.read_bytes(), args.report.read_bytes()
    arguments(tmp_path, rows[::-1])
    split.run(args)
    assert (args.out.read_bytes(), args.report.read_bytes()) == first


def test_unknown_patients_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize(
    ("changes", "parts", "told"),
    [
        ({"validation": "share", "test_share": 0.2, "validation_share": 0.1}, (40, 20, 140), "40 test, 20 validation"),
        ({"test": "official", "validation": "official"}, (50, 50, 100), "50 test, 50 validation, 100 train"),
        ({"test": "sites", "test_sites": ["hill"], "validation": "share"}, (100, 30, 70), "100 test"),
    ],
)
def test_other_kinds_of_splits(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    parts: tuple[int, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    args = arguments(tmp_path, eyes(100), **changes)
    headline = split.run(args).headline
    report = json.loads(args.report.read_text())
    rows = read_splits(args.out)
    assert tuple(report["parts"]) == ("fold 0", "test", "train")
    assert tuple(report["parts"][name]["photographs"] for name in ("test", "fold 0", "train")) == parts
    assert tuple(len(select_split(rows, which, 0)) for which in (Split.TEST, Split.VALIDATION, Split.TRAIN)) == parts
    assert told in headline


def test_a_leak_that_no_column_shows_stops_and_leaves_no_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = eyes(100)
    args = arguments(tmp_path, rows)
    split.run(args)
    test = [row.image_id for row in read_splits(args.out) if row.split == "test"][:3]
    development = [row.image_id for row in read_splits(args.out) if row.split != "test"][:3]
    by_id = {row["image_id"]: row for row in rows}
    for one, other in zip(test, development, strict=True):
        by_id[one]["perceptual_hash"] = by_id[other]["perceptual_hash"]
    arguments(tmp_path, rows)
    with pytest.raises(GateError, match=r"part test resemble its training photographs: 3 are within 24"):
        split.run(args)
    assert not args.out.exists()
    named = json.loads(args.report.read_text())["look_alikes"]["parts"]["test"]["pairs"]
    assert {(pair["image_id"], pair["nearest"]) for pair in named} >= set(zip(test, development, strict=True))


def test_group_on_both_sides_is_left_out_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = eyes(100)
    rows[1]["official_split"] = "train"  # the right eye of a test patient
    official = {"test": "official", "validation": "official"}
    with pytest.raises(GateError, match=r"both sides of the test part; .*: 0-left\n"):
        split.run(arguments(tmp_path, rows, **official))
    args = arguments(tmp_path, rows, **official, on_group_conflict="leave_out")
    assert "1 left out" in split.run(args).headline
    left_out = json.loads(args.report.read_text())["left_out"]
    assert left_out == [{"image_id": "0-right", "reason": "its group has photographs in the test part"}]
    assert "P0" not in args.report.read_text()  # patients' names stay in data/
    assert "0-right" not in {row.image_id for row in read_splits(args.out)}


def test_a_split_that_fails_a_check_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = eyes(100)
    rows[7]["perceptual_hash"] = "abc"
    args = arguments(tmp_path, rows)
    with pytest.raises(DataError, match="not a perceptual hash"):
        split.run(args)
    assert not args.out.exists()


def test_patients_of_one_excluded_picture_stay_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = eyes(100)
    for n in range(0, 50, 2):  # patients 0 and 1, 2 and 3, …: a picture of the first filed under the second, left out
        rows[2 * n]["duplicate_cluster"] = f"{n}-left"
        copy = {"image_id": f"{n}-copy", "patient_id": f"P{n + 1}", "grade": "1", "excluded": "1"}
        rows.append(copy | {"duplicate_cluster": f"{n}-left"})
    args = arguments(tmp_path, rows)
    split.run(args)
    parts = {row.image_id: row.part for row in read_splits(args.out)}
    assert all(parts[f"{n}-left"] == parts[f"{n + 1}-left"] for n in range(0, 50, 2))


def test_labels_that_select_must_refuse_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    two_grades = [row | {"grade": str(int(row["grade"]) % 2)} for row in eyes(100)]
    args = arguments(tmp_path, two_grades)
    with pytest.raises(GateError, match="no photograph is referable"):
        split.run(args)
    assert not args.out.exists()
    binary = [row | {"grade": str(2 * int(row["grade"]))} for row in two_grades]
    split.run(arguments(tmp_path, binary))
    assert {row.grade for row in read_splits(args.out)} == {0, 2}
