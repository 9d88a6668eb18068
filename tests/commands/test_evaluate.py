"""The command `evaluate`: a table of predictions and the readers' grades give figures, or an error that states why."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_pipeline.cli import EXIT_USER_ERROR, main
from dr_pipeline.schema import Status
from dr_pipeline.tables.graded import GradedRow, write_graded
from dr_pipeline.tables.predictions import PredictionRow, write_predictions
from tests.factories.bundles import make_bundle

pytestmark = pytest.mark.slow

NOTHING = dict.fromkeys(
    ("grade", "probabilities", "expected_grade", "referable", "referable_probability", "vision_threatening")
)


def scored(count: int = 60, bundle_id: str = "0123456789abcdef") -> tuple[list[PredictionRow], list[str]]:
    """Predictions by a grader that errs now and then; every tenth photograph is ungradable. And their labels."""
    rng, rows, labels = np.random.default_rng(0), [], ["image_id,grade,patient_id"]
    for number in range(count):
        true = number % 5
        grade = int(np.clip(true + rng.integers(-1, 2), 0, 4))
        row = PredictionRow(
            image_id=f"photo-{number:02}",
            path=f"photo-{number:02}.jpg",
            sha256=f"{number:064x}",
            status=Status.SCORED,
            grade=grade,
            probabilities=tuple(0.8 if other == grade else 0.05 for other in range(5)),
            expected_grade=float(grade),
            referable=grade >= 2,
            referable_probability=0.2 * grade,
            vision_threatening=grade >= 3,
            needs_human=number % 9 == 0,
            bundle_id=bundle_id,
        )
        if number % 10 == 4:
            row = replace(row, status=Status.UNGRADABLE, reason="blurred", **NOTHING)  # type: ignore[arg-type]
        rows.append(row)
        labels.append(f"photo-{number:02},{true},P{number // 2}")
    return rows, labels


def written(folder: Path, rows: list[PredictionRow], labels: list[str]) -> list[str]:
    """The words of the command line."""
    write_predictions(folder / "predictions.csv", rows)
    (folder / "labels.csv").write_text("\n".join(labels) + "\n", encoding="utf-8")
    out = str(folder / "figures.json")
    return ["evaluate", str(folder / "predictions.csv"), "--labels", str(folder / "labels.csv"), "--out", out]


def figures(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "figures.json").read_text())["evaluation"]
    return report


def test_a_table_of_score_with_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, labels = scored()
    rows.append(replace(rows[0], image_id="no label", path="x.jpg"))
    labels.append("photo-ungraded,,P9")
    rows.append(replace(rows[0], image_id="photo-ungraded", path="y.jpg"))
    assert main([*written(tmp_path, rows, labels), "--prevalence", "0.07"]) == 0
    report = figures(tmp_path)
    assert (report["photographs"], report["without_answer"], report["n"]) == (60, 6, 54)
    assert report["by_status"] == {"scored": 54, "ungradable": 6}
    assert report["bundle_id"] == "0123456789abcdef"
    # All six ungradable photographs have grade 4, and are referred.
    screened, protocol = (report["screening"][name] for name in ("intention_to_screen", "per_protocol"))
    assert screened["referable_sensitivity"]["n"] == 36
    assert protocol["referable_sensitivity"]["n"] == 30
    assert screened["referable_sensitivity"]["value"] > protocol["referable_sensitivity"]["value"]
    assert [entry["prevalence"] for entry in screened["at_prevalence"]] == [0.07]
    assert report["limits"][:2] == [
        "1 predictions without a label are not evaluated",
        "1 labels without a grade are not evaluated",
    ]
    out = capsys.readouterr().out
    assert "limit: 1 predictions without a label" in out
    assert "Not a medical device" in out
    assert "P9" not in out
    assert stat.S_IMODE((tmp_path / "figures.json").stat().st_mode) == 0o600


def test_unknown_patients_and_a_missing_grade_are_marked(tmp_path: Path) -> None:
    rows, labels = scored()
    kept = [index for index in range(60) if index % 5 != 3]
    labels = ["image_id,grade", *(labels[1 + index].rpartition(",")[0] for index in kept)]
    assert main(written(tmp_path, [rows[index] for index in kept], labels)) == 0
    limits = " ".join(figures(tmp_path)["limits"])
    assert "the patient of 48 of 48 photographs is unknown" in limits
    assert "no photograph has grade 3" in limits


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("path;grade;patient", "photo-{:02}.jpg"),
        ("Image;Level;Patient ID", "PHOTO-{:02}"),
        ("file;grade;x", "C:\\a\\photo-{:02}.png"),
    ],
)
def test_labels_name_photographs_as_a_clinic_does(tmp_path: Path, header: str, name: str) -> None:
    rows, labels = scored()
    assert main(written(tmp_path, rows, labels)) == 0
    expected = figures(tmp_path)["qwk"]["value"]
    cells = [line.split(",") for line in labels[1:]]
    table = [header, *(";".join([name.format(number), *cell[1:]]) for number, cell in enumerate(cells))]
    assert main(written(tmp_path, rows, table)) == 0
    report = figures(tmp_path)
    assert (report["photographs"], report["qwk"]["value"]) == (60, expected)


def test_files_of_one_name_in_two_sources_are_told_apart_by_their_ids(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, labels = scored()
    rows.append(replace(rows[0], image_id="photo-00-2"))  # photo-00.jpg of another archive
    assert main(written(tmp_path, rows, labels)) == 0
    assert figures(tmp_path)["photographs"] == 60
    labels[1] = labels[1].replace("photo-00", "photo-00.jpg")
    assert main(written(tmp_path, rows, labels)) == EXIT_USER_ERROR
    assert "names that match several photographs: photo-00.jpg" in capsys.readouterr().err


def test_an_id_that_names_nobody_is_no_patient(tmp_path: Path) -> None:
    rows, labels = scored()
    labels = [labels[0], *(f"{line.rpartition(',')[0]},unknown" for line in labels[1:])]
    assert main(written(tmp_path, rows, labels)) == 0
    assert "the patient of 60 of 60 photographs is unknown" in " ".join(figures(tmp_path)["limits"])


def test_labels_of_one_grade_give_no_number(tmp_path: Path) -> None:
    rows, labels = scored()
    kept = range(0, 60, 5)
    assert main(written(tmp_path, [rows[index] for index in kept], [labels[0], *(labels[1 + i] for i in kept)])) == 0
    report = figures(tmp_path)
    assert report["detection"]["at_least"]["2"]["auc"]["value"] is None
    assert report["referable_sensitivity"]["value"] is None
    assert any("all photographs have grade 0" in text for text in report["limits"])


def lost_prediction(rows: list[PredictionRow], labels: list[str]) -> None:
    del rows[7]


def repeated_prediction(rows: list[PredictionRow], labels: list[str]) -> None:
    rows.append(rows[7])


def repeated_label(rows: list[PredictionRow], labels: list[str]) -> None:
    labels.append(f"photo-07,{(int(labels[8].split(',')[1]) + 1) % 5},P3")


def no_probabilities(rows: list[PredictionRow], labels: list[str]) -> None:
    rows[7] = replace(rows[7], probabilities=(0.5, 0.5, 0.5, 0.0, 0.0))


def not_a_number(rows: list[PredictionRow], labels: list[str]) -> None:
    rows[7] = replace(rows[7], probabilities=(float("nan"), 0.5, 0.5, 0.0, 0.0))


def not_a_number_expected(rows: list[PredictionRow], labels: list[str]) -> None:
    rows[7] = replace(rows[7], expected_grade=float("nan"))


def no_referral(rows: list[PredictionRow], labels: list[str]) -> None:
    rows[7] = replace(rows[7], referable=None)


def two_bundles(rows: list[PredictionRow], labels: list[str]) -> None:
    rows[7] = replace(rows[7], bundle_id="f" * 16)


def wrong_grade(rows: list[PredictionRow], labels: list[str]) -> None:
    labels[8] = "photo-07,5,P3"


def no_label(rows: list[PredictionRow], labels: list[str]) -> None:
    labels[1:] = []


def no_column(rows: list[PredictionRow], labels: list[str]) -> None:
    labels[0] = "image_id,remark,patient_id"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lost_prediction, "labels without a prediction: photo-07"),
        (repeated_prediction, "holds 'photo-07' twice"),
        (repeated_label, "named twice with different labels"),
        (no_probabilities, "no probabilities of the five grades"),
        (not_a_number, "no probabilities of the five grades"),
        (not_a_number_expected, "not a finite number"),
        (no_referral, "graded, but without"),
        (two_bundles, "predictions of 2 bundles"),
        (wrong_grade, "a grade other than 0, 1, 2, 3, 4: photo-07: '5'"),
        (no_label, "the label table has no rows"),
        (no_column, "no column grade or level"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(
    spoil: Any, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, labels = scored()
    spoil(rows, labels)
    assert main(written(tmp_path, rows, labels)) == EXIT_USER_ERROR
    error = capsys.readouterr().err
    assert words in error
    assert "P3" not in error
    assert not (tmp_path / "figures.json").exists()


def test_another_bundle_and_a_table_without_labels_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = written(tmp_path, *scored())
    bundle = make_bundle(tmp_path / "release")
    assert main([*words, "--bundle", str(bundle)]) == EXIT_USER_ERROR
    assert "the predictions are of bundle 0123456789abcdef, and this is bundle" in capsys.readouterr().err
    assert main(["evaluate", words[1], "--out", words[-1]]) == EXIT_USER_ERROR
    assert "the grade in this table is the network's own" in capsys.readouterr().err
    own = json.loads((bundle / "metadata.json").read_text())["bundle_id"]
    assert main([*written(tmp_path, *scored(bundle_id=own)), "--bundle", str(bundle)]) == 0
    assert "closeness_to_cut" in figures(tmp_path)["uncertainty"]["wrong_grade"]


def graded(number: int, **changes: Any) -> GradedRow:
    values = {
        "image_id": f"photo-{number:02}",
        "patient_id": f"P{number // 2}",
        "group": f"patient:P{number // 2}",
        "grade": number % 5,
        "logits": tuple(float(other == number % 5) for other in range(5)),
        "probabilities": tuple(0.6 if other == number % 5 else 0.1 for other in range(5)),
        "expected_grade": float(number % 5),
        "predicted": number % 5,
        "predicted_locked": number % 5,
        "referable": number % 5 >= 2,
        "referable_probability": 0.2 * (number % 5),
        "needs_human": False,
        "status": Status.UNGRADABLE if number == 3 else Status.SCORED,
    }
    return GradedRow(**(values | changes))  # type: ignore[arg-type]


def test_a_table_of_the_stage_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, out = tmp_path / "test_predictions.csv", tmp_path / "figures.json"
    write_graded(table, [graded(number) for number in range(40)])
    assert main(["evaluate", str(table), "--out", str(out)]) == 0
    report = figures(tmp_path)
    assert (report["n"], report["gradable"]["n"], report["qwk"]["value"]) == (40, 39, 1.0)
    write_graded(table, [graded(number % 39) for number in range(40)])
    assert main(["evaluate", str(table), "--out", str(out)]) == EXIT_USER_ERROR
    assert "holds 'photo-00' twice" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no probabilities"):
        graded(1, probabilities=(0.1,) * 5)
    with pytest.raises(ValueError, match="not a finite number"):
        graded(1, logits=(float("inf"), 0.0, 0.0, 0.0, 0.0))
