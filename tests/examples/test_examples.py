"""The examples run as they stand."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dr_pipeline.schema import Status
from dr_pipeline.tables.graded import GradedRow, write_graded
from dr_pipeline.tables.predictions import read_predictions
from tests.factories import REPOSITORY
from tests.factories.bundles import make_bundle
from tests.factories.drawings import draw_fundus, encode


def run(name: str, *arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "examples" / name), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    (folder / "eye.png").write_bytes(encode(draw_fundus(300, 240, 150.0, 120.0, 105.0), ".png"))
    (folder / "notes.txt").write_text("no photograph")
    return folder


def test_preprocess_and_assess(folder: Path, tmp_path: Path) -> None:
    output = run("01_preprocess_and_assess.py", folder, "--out", tmp_path / "canvases", "--canvas-px", 128)
    assert re.search(r"^file +status +quality +reasons$", output, re.MULTILINE)
    assert re.search(r"^eye\.png +\w+ +[01]\.\d\d +\w", output, re.MULTILINE)
    assert re.search(r"^notes\.txt +failed +not a JPEG", output, re.MULTILINE)
    assert [path.name for path in (tmp_path / "canvases").iterdir()] == ["eye.png.png"]


def test_photographs_of_one_stem_keep_a_canvas_each(folder: Path, tmp_path: Path) -> None:
    (folder / "eye.bmp").write_bytes(encode(draw_fundus(300, 240, 150.0, 120.0, 100.0), ".bmp"))
    run("01_preprocess_and_assess.py", folder, "--out", tmp_path / "canvases", "--canvas-px", 128)
    assert sorted(path.name for path in (tmp_path / "canvases").iterdir()) == ["eye.bmp.png", "eye.png.png"]


def test_score_a_folder(folder: Path, tmp_path: Path) -> None:
    bundle, out = make_bundle(tmp_path / "bundle"), tmp_path / "predictions.csv"
    output = run("02_score_a_folder.py", folder, "--bundle", bundle, "--out", out)
    assert "2 files, 2 rows" in output
    assert {row.status for row in read_predictions(out)} >= {Status.FAILED}


def test_compare_two_candidates(tmp_path: Path) -> None:
    paths = []
    for name, shift in (("good", 0), ("poor", 1)):
        rows = [
            GradedRow(
                image_id=f"i{number:02d}",
                patient_id="",
                group=f"g{number // 2}",
                grade=number % 5,
                logits=(0.0,) * 5,
                probabilities=(0.2,) * 5,
                expected_grade=2.0,
                predicted=min(4, number % 5 + shift),
                predicted_locked=number % 5,
                referable=False,
                referable_probability=0.6,
                needs_human=False,
                status=Status.SCORED,
            )
            for number in range(40)
        ]
        paths.append(tmp_path / f"{name}.csv")
        write_graded(paths[-1], rows)
    output = run("03_compare_two_candidates.py", *paths)
    assert "good.csv: QWK 1.000" in output
    assert "first minus second: 0." in output


@pytest.mark.parametrize("change", [{"grade": 4}, {"group": "other"}, {"image_id": "other"}])
def test_tables_of_different_photographs_are_not_compared(change: dict[str, object], tmp_path: Path) -> None:
    row = GradedRow(
        image_id="i00",
        patient_id="",
        group="g0",
        grade=0,
        logits=(0.0,) * 5,
        probabilities=(0.2,) * 5,
        expected_grade=2.0,
        predicted=0,
        predicted_locked=0,
        referable=False,
        referable_probability=0.6,
        needs_human=False,
        status=Status.SCORED,
    )
    write_graded(tmp_path / "first.csv", [row])
    write_graded(tmp_path / "second.csv", [replace(row, **change)])
    output = run("03_compare_two_candidates.py", tmp_path / "first.csv", tmp_path / "second.csv", code=1)
    assert "DataError: the two tables differ in photographs, true grades or groups" in output
