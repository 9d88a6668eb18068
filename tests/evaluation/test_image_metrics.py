"""Every figure is what its name says, with interval and n, and JSON can hold it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, cohen_kappa_score, recall_score, roc_auc_score

from dr_pipeline.bundle.decision import Decided, Decision
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.evaluation.baselines import baselines
from dr_pipeline.evaluation.evaluation_checks import record_opening, require_fitted_on_validation, require_same_data
from dr_pipeline.evaluation.image_metrics import all_and_gradable, calibration_error_figure, figures, headline_figures
from dr_pipeline.evaluation.paired_figures import ece_figure
from dr_pipeline.files import canonical_json
from dr_pipeline.metrics.intervals import format_estimate
from dr_pipeline.params.evaluation import Evaluation

PARAMS = Evaluation(
    bootstrap_replicates=300,
    bootstrap_seed=3,
    confidence=0.95,
    two_eye_fusion=False,
)
DECISION = Decision(
    1.0, (0.5, 1.5, 2.5, 3.5), 0.4, 0.1, {"split": "validation", "splits_sha256": "a" * 64, "fold": "0"}
)


def sample(count: int = 160, seed: int = 0) -> tuple[Decided, NDArray[np.int64], list[str]]:
    rng = np.random.default_rng(seed)
    true = rng.choice(5, count)
    logits = -((true[:, None] + rng.normal(size=(count, 1)) - np.arange(5)) ** 2)
    return DECISION.apply(logits), true, [f"P{row // 2}" for row in range(count)]


def single(report: object) -> list[dict[str, object]]:
    """All figures in a report, at any depth."""
    if not isinstance(report, dict):
        return []
    if {"value", "low", "high", "n"} <= report.keys():
        return [report]
    return [figure for value in report.values() for figure in single(value)]


def test_a_calibration_error_is_not_below_0_and_with_two_patients_has_no_bound() -> None:
    decided, true, groups = sample(400)
    drawn = {"replicates": 300, "seed": 3, "confidence": 0.95}
    sure = np.eye(5)[true]
    for probabilities in (decided.probabilities, np.where(np.arange(400)[:, None] < 4, sure[::-1], sure)):
        figure = calibration_error_figure(probabilities, true, groups, drawn)  # type: ignore[arg-type]
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"]
        assert ece_figure(probabilities, true).estimate(groups, drawn).low == figure["low"]  # type: ignore[arg-type]
    few = calibration_error_figure(decided.probabilities[:4], true[:4], groups[:4], drawn)  # type: ignore[arg-type]
    assert (few["low"], few["high"]) == (None, None)


def test_values_equal_sklearn() -> None:
    decided, true, groups = sample()
    found = figures(decided, true, groups, PARAMS)
    values = {name: figure["value"] for name, figure in found.items() if isinstance(figure, dict) and "value" in figure}
    assert values["qwk"] == pytest.approx(cohen_kappa_score(true, decided.grade, weights="quadratic"))
    argmax = decided.probabilities.argmax(axis=1)
    assert values["qwk_most_probable"] == pytest.approx(cohen_kappa_score(true, argmax, weights="quadratic"))
    assert values["accuracy"] == pytest.approx(accuracy_score(true, decided.grade))
    assert values["referable_auc"] == pytest.approx(roc_auc_score(true >= 2, decided.referable_probability))
    assert values["referable_sensitivity"] == pytest.approx(recall_score(true >= 2, decided.referable))
    assert values["referable_specificity"] == pytest.approx(recall_score(true < 2, ~decided.referable))
    assert values["vision_threatening_sensitivity"] == pytest.approx(recall_score(true >= 3, decided.grade >= 3))
    assert values["vision_threatening_specificity"] == pytest.approx(recall_score(true < 3, decided.grade < 3))
    recalls = [found["recall"][str(grade)]["value"] for grade in range(5)]
    assert recalls == pytest.approx(recall_score(true, decided.grade, average=None))
    assert np.sum(found["confusion"]) == found["n"] == 160
    assert found["groups"] == 80


def test_every_figure_has_an_interval_around_it_and_its_n() -> None:
    decided, true, groups = sample()
    found = single(figures(decided, true, groups, PARAMS))
    assert len(found) == 16
    for figure in found:
        assert figure["low"] <= figure["value"] <= figure["high"]  # type: ignore[operator]
    assert figures(decided, true, groups, PARAMS)["referable_sensitivity"]["n"] == np.sum(true >= 2)


def test_undefined_is_null_with_a_note_and_json_can_hold_it() -> None:
    decided, true, groups = sample()
    rows = np.flatnonzero(true == 0)
    healthy = Decided(**{name: values[rows] for name, values in vars(decided).items()})
    found = figures(healthy, true[rows], [groups[row] for row in rows], PARAMS)
    for name in ("referable_sensitivity", "referable_auc", "vision_threatening_sensitivity"):
        assert found[name]["value"] is None
        assert found[name]["note"]
    assert found["recall"]["3"]["n"] == 0
    assert json.loads(canonical_json(found)) == found


def test_ungradable_are_in_all_and_out_of_gradable() -> None:
    decided, true, groups = sample()
    worst = np.where(true == 4, 0, decided.grade)
    decided = replace(decided, grade=worst)
    statuses = ["ungradable" if grade == 4 else "scored" for grade in true]
    found = all_and_gradable(decided, true, groups, statuses, PARAMS)
    assert found["n"] == 160
    assert found["gradable"]["n"] == np.sum(true != 4)
    rejection = found["rejection_by_grade"]
    assert {grade: row["rejected"] for grade, row in rejection.items()} == dict.fromkeys("0123", 0) | {
        "4": int(np.sum(true == 4))
    }
    assert rejection["4"]["low"] < rejection["4"]["value"] == 1.0
    assert found["qwk"]["value"] < found["gradable"]["qwk"]["value"]


def test_no_gradable_photograph_gives_nulls() -> None:
    decided, true, groups = sample(20)
    found = all_and_gradable(decided, true, groups, ["ungradable"] * 20, PARAMS)
    assert found["gradable"]["qwk"]["value"] is None
    assert canonical_json(found)


def test_same_input_gives_the_same_figures() -> None:
    assert figures(*sample(), PARAMS) == figures(*sample(), PARAMS)


def test_baselines() -> None:
    true = np.array([0, 1, 2, 2, 3, 4, 0, 0])
    patients = ["a", "a", "b", "b", "", "", "c", "d"]
    found = baselines(true, list("aabbwxcd"), patients, 0, PARAMS, grade=true)
    assert found["majority_grade"]["accuracy"]["value"] == 3 / 8
    assert found["majority_grade"]["qwk"]["value"] == 0
    fellow = found["other_photograph_of_patient"]["qwk"]
    assert fellow["n"] == 4
    assert fellow["value"] == pytest.approx(cohen_kappa_score([0, 1, 2, 2], [1, 0, 2, 2], weights="quadratic"))
    unknown = baselines(true, list("abcdefgh"), [""] * 8, 0, PARAMS, grade=true)
    assert unknown["other_photograph_of_patient"]["qwk"]["value"] is None


def test_fellow_eye_is_the_other_eye_and_not_another_field_of_the_same() -> None:
    true = np.array([0, 1, 3, 2, 4, 1, 0, 2])
    patients = ["a", "a", "a", "b", "b", "c", "c", ""]
    eyes = ["left", "left", "right", "left", "left", "", "", "right"]
    found = baselines(true, patients, patients, 0, PARAMS, grade=true, eyes=eyes)["other_photograph_of_patient"]
    assert (found["paired_by_eye"], found["paired_by_two_photographs"]) == (3, 2)
    expected = cohen_kappa_score([0, 1, 3, 1, 0], [3, 3, 1, 0, 1], weights="quadratic", labels=range(5))
    assert found["qwk"]["n"] == 5
    assert found["qwk"]["value"] == pytest.approx(expected)


def test_headline_and_words() -> None:
    found = figures(*sample(), PARAMS)
    assert set(headline_figures("test", found)) >= {"test.qwk", "test.referable_auc"}
    assert format_estimate({"value": 0.8, "low": 0.7, "high": 0.9, "n": 9}) == "0.800 (0.700 to 0.900, n = 9)"
    assert "undefined" in format_estimate({"value": None, "low": None, "high": None, "n": 9})
    assert "no interval" in format_estimate({"value": 1.0, "low": None, "high": None, "n": 2})


def test_decision_of_the_test_split_is_refused() -> None:
    require_fitted_on_validation(DECISION, "a" * 64, "bundle")
    for fitted_on, words in (
        ({"split": "test", "splits_sha256": "a" * 64}, "fitted on 'test'"),
        ({}, "an unknown split"),
        ({"split": "validation", "splits_sha256": "b" * 64}, "another division"),
    ):
        with pytest.raises(GateError, match=words):
            require_fitted_on_validation(replace(DECISION, fitted_on=fitted_on), "a" * 64, "bundle")


def test_other_data_are_refused() -> None:
    require_same_data({"split": "a", "fold": "0"}, {"split": "a"}, "export")
    with pytest.raises(GateError, match="another split"):
        require_same_data({"split": "a"}, {"split": "b"}, "export")


def test_openings_are_counted_per_test_split(tmp_path: Path) -> None:
    ledger = tmp_path / "reports" / "openings.jsonl"
    assert record_opening(ledger, ["a", "b"], "s", "bundle1") == 1
    assert record_opening(ledger, ["b", "a"], "t", "bundle2") == 2  # other folds, the same test photographs
    assert record_opening(ledger, ["c"], "s", "bundle1") == 1
    assert [json.loads(line)["bundle_id"] for line in ledger.read_text().splitlines()] == [
        "bundle1",
        "bundle2",
        "bundle1",
    ]
    ledger.write_text("torn", encoding="utf-8")
    with pytest.raises(DataError, match="damaged"):
        record_opening(ledger, ["a"], "s", "b")
    assert ledger.read_text() == "torn"


def test_headline_figures_are_prefixed() -> None:
    assert set(headline_figures("test", figures(*sample(), PARAMS))) >= {"test.qwk", "test.referable_auc"}
