"""Suspicious labels: planted wrong ones come first, a shy network is judged by its own measure, bad tables stop."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.commands import labels
from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.label_errors import (
    confidence_thresholds,
    read_out_of_fold,
    suspicious_labels,
)
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome
from dr_pipeline.tables.graded import GRADED
from dr_pipeline.tables.suspicious_labels import read_suspicious_labels
from tests.factories.csv_files import write_csv

SHARES = (0.5, 0.1, 0.2, 0.12, 0.08)  # of the grades, about as a screening set has them


def network(true: np.ndarray, seed: int = 0, noise: float = 0.5) -> np.ndarray:
    """Probabilities of a network that sees the grade with some noise, and confuses neighbours most."""
    seen = true + np.random.default_rng(seed).normal(0, noise, len(true))
    logits = -1.5 * (seen[:, None] - np.arange(5)) ** 2
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def planted(*, least: int, wrong: int = 30, total: int = 600, seed: int = 5) -> tuple[np.ndarray, np.ndarray, set[int]]:
    """True grades, labels of which `wrong` are off by at least `least` grades, and which these are."""
    rng = np.random.default_rng(seed)
    true = rng.choice(5, total, p=SHARES)
    given, rows = true.copy(), rng.choice(total, wrong, replace=False)
    for row in rows:
        given[row] = rng.choice([grade for grade in range(5) if abs(grade - true[row]) >= least])
    return true, given, set(rows.tolist())


@pytest.mark.parametrize(("least", "leading", "by_margin_alone"), [(2, 27, 21), (1, 21, 17)])
def test_planted_wrong_labels_lead_the_list(least: int, leading: int, by_margin_alone: int) -> None:
    """Of 30 planted, among the first 30; means of 20 draws. The docstring of `suspicious_labels` tells them."""
    ours, plain, accuracy = [], [], []
    for seed in range(20):
        true, labelled, wrong = planted(least=least, seed=seed)
        probabilities = network(true, seed=seed + 99)
        found = suspicious_labels(labelled, probabilities)
        by_margin = sorted((one for one in found if one.confident), key=lambda one: one.margin)
        ours.append(len(wrong & {one.index for one in found[: len(wrong)]}))
        plain.append(len(wrong & {one.index for one in by_margin[: len(wrong)]}))
        accuracy.append((probabilities.argmax(axis=1) == true).mean())
    assert (round(np.mean(ours)), round(np.mean(plain))) == (leading, by_margin_alone)
    assert round(np.mean(accuracy), 2) == 0.77


def test_a_perfect_network_finds_every_planted_one_and_its_grade() -> None:
    true, labelled, wrong = planted(least=1)
    found = suspicious_labels(labelled, network(true, noise=0.0))
    assert {one.index for one in found} == wrong
    assert all(one.suggested == true[one.index] for one in found)


def test_a_gross_difference_is_listed_though_its_grade_is_not_claimed() -> None:
    """Both 0.7s are below the 0.9 that grade 0 has elsewhere, so neither is a claim; three grades off is listed."""
    probabilities = np.array([[0.9, 0.1, 0, 0, 0]] * 8 + [[0.7, 0.3, 0, 0, 0], [0.7, 0.2, 0, 0.1, 0]])
    grades = np.array([0] * 8 + [1, 3])
    (one,) = suspicious_labels(grades, probabilities)
    assert (one.index, one.suggested, one.distance, one.confident) == (9, 0, 3, False)


def test_right_labels_of_a_perfect_network_are_not_suspicious() -> None:
    true, _, _ = planted(least=1)
    assert suspicious_labels(true, network(true, noise=0.0)) == []


def test_a_grade_is_claimed_by_the_measure_of_its_own_photographs() -> None:
    """The network gives grade 3 no more than 0.4, even where it is right; that much is a claim all the same."""
    sure, shy = [0.9, 0.1, 0, 0, 0], [0.2, 0.1, 0.3, 0.4, 0]
    probabilities = np.array([sure, sure, sure, shy, shy, [0.35, 0.0, 0.25, 0.4, 0.0]])
    grades = np.array([0, 0, 0, 3, 3, 0])
    thresholds = confidence_thresholds(grades, probabilities)
    assert thresholds[0] == pytest.approx((3 * 0.9 + 0.35) / 4)
    assert thresholds[3] == pytest.approx(0.4)
    assert [(one.index, one.suggested, one.distance) for one in suspicious_labels(grades, probabilities)] == [(5, 3, 3)]


def test_a_claim_counts_though_a_grade_that_is_not_claimed_is_more_probable() -> None:
    probabilities = np.array(
        [[0.9, 0, 0.1, 0, 0], [0.05, 0, 0.95, 0, 0], [0.3, 0.1, 0.35, 0.25, 0], [0, 0, 0.8, 0.2, 0]]
    )
    grades = np.array([0, 2, 0, 3])
    (one,) = [one for one in suspicious_labels(grades, probabilities) if one.index == 2]
    assert (one.suggested, one.margin) == (3, pytest.approx((0.3 - 0.35 + 1) / 2))


def test_an_absent_grade_is_never_suggested() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1, 0, 0], [0.1, 0.1, 0.1, 0.7, 0], [0.1, 0.1, 0.8, 0, 0]])
    grades = np.array([0, 2, 2])
    assert np.isinf(confidence_thresholds(grades, probabilities)[[1, 3, 4]]).all()
    # 3 is the most probable of the second, but one grade away and nobody's
    assert suspicious_labels(grades, probabilities) == []
    assert suspicious_labels(np.array([0, 3, 3]), probabilities) == []
    (second,) = suspicious_labels(np.array([0, 1, 2]), probabilities)
    assert (second.index, second.suggested, second.confident) == (1, 3, False)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10**6))
def test_whatever_the_labels_the_list_is_in_order_and_each_label_once(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    grades, probabilities = rng.integers(0, 5, count), rng.dirichlet(np.full(5, 0.5), count)
    found = suspicious_labels(grades, probabilities)
    assert len({one.index for one in found}) == len(found)
    assert found == sorted(found, key=lambda one: (-one.distance, one.margin))
    for one in found:
        assert one.suggested != grades[one.index]
        assert one.suggested in grades or not one.confident
        assert one.distance == abs(one.suggested - grades[one.index]) > 0
        assert 0 <= one.margin <= 0.5


def predictions(path: Path, grades: np.ndarray, probabilities: np.ndarray, *, first: int = 0, **changes: str) -> Path:
    """A table as `validate` writes it."""
    rows = []
    for index, grade in enumerate(grades):
        row: dict[str, object] = dict.fromkeys(GRADED.columns, "")
        row |= {"schema_version": 1, "image_id": f"i{first + index}", "grade": grade}
        row |= {f"p{k}": f"{p:.6f}" for k, p in enumerate(probabilities[index])}
        rows.append(row | changes)
    write_csv(path, GRADED.columns, rows)
    return path


def run(*words: object) -> Outcome:
    parser = argparse.ArgumentParser()
    labels.add_arguments(parser)
    return labels.run(parser.parse_args([str(word) for word in words]))


def test_the_command_writes_the_list_and_says_what_it_saw(tmp_path: Path) -> None:
    true, labelled, wrong = planted(least=2, wrong=10, total=200)
    probabilities = network(true)
    halves = [
        predictions(tmp_path / "0.csv", labelled[:100], probabilities[:100]),
        predictions(tmp_path / "1.csv", labelled[100:], probabilities[100:], first=100),
    ]
    out = tmp_path / "suspicious.csv"
    outcome = run("--predictions", *halves, "--out", out, "--top", 8)
    rows = read_suspicious_labels(out)
    assert [row.rank for row in rows] == list(range(1, 9))
    assert sum(int(row.image_id[1:]) in wrong for row in rows) >= 7
    assert "of 200 labels are suspicious; 8 listed" in outcome.headline
    assert RESEARCH_USE in outcome.headline
    assert outcome.wrote == (out,)
    again = tmp_path / "again.csv"
    run("--predictions", *halves, "--out", again, "--top", 8)
    assert again.read_bytes() == out.read_bytes()


def test_an_absent_grade_and_rows_left_aside_are_told(tmp_path: Path) -> None:
    table = predictions(tmp_path / "0.csv", np.array([0, 2]), np.array([[0.9, 0.1, 0, 0, 0], [0.1, 0, 0.9, 0, 0]]))
    empty = predictions(tmp_path / "1.csv", np.array([1]), np.zeros((1, 5)), first=9, p0="")
    headline = run("--predictions", table, empty, "--out", tmp_path / "out.csv").headline
    assert "1 rows without a label" in headline
    assert "grade 4: no photograph has this label" in headline
    assert read_suspicious_labels(tmp_path / "out.csv") == []


def test_several_tables_of_one_photograph_are_averaged(tmp_path: Path) -> None:
    one = predictions(tmp_path / "0.csv", np.array([2]), np.array([[0.8, 0.2, 0, 0, 0]]))
    other = predictions(tmp_path / "1.csv", np.array([2]), np.array([[0.2, 0.0, 0.8, 0, 0]]))
    read = read_out_of_fold([one, other])
    assert read.image_ids == ("i0",)
    assert np.allclose(read.probabilities, [[0.5, 0.1, 0.4, 0, 0]])


def test_a_formula_is_made_inert(tmp_path: Path) -> None:
    grades = np.array([0, 0, 2, 2])
    probabilities = np.array([[1.0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0], [1, 0, 0, 0, 0]])
    plain = predictions(tmp_path / "0.csv", grades[:3], probabilities[:3])
    formula = predictions(tmp_path / "1.csv", grades[3:], probabilities[3:], image_id="=1+1")
    run("--predictions", plain, formula, "--out", tmp_path / "out.csv")
    assert [row.image_id for row in read_suspicious_labels(tmp_path / "out.csv")] == ["'=1+1"]


SURE = np.array([[0.9, 0.1, 0, 0, 0]])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"grade": "5"}, "'5' is not one of 0, 1, 2, 3, 4"),
        ({"grade": "1.0"}, "'1.0' is not an integer"),
        ({"p0": "0.5"}, "no probabilities"),
        ({"p0": "nan"}, "no probabilities"),
        ({"p0": "1.1", "p1": "-0.1"}, "no probabilities"),
        ({"p0": "many"}, "'many' is not a number"),
        ({"grade": ""}, "no row has both"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    table = predictions(tmp_path / "0.csv", np.array([0]), SURE, **changes)
    with pytest.raises(DataError, match=told):
        read_out_of_fold([table])


def test_labels_that_contradict_each_other_or_are_the_networks_own_are_refused(tmp_path: Path) -> None:
    one = predictions(tmp_path / "0.csv", np.array([0]), SURE)
    other = predictions(tmp_path / "1.csv", np.array([1]), SURE)
    with pytest.raises(DataError, match="'i0' has the grades 0 and 1"):
        read_out_of_fold([one, other])
    columns = ("image_id", "grade", "p0", "p1", "p2", "p3", "p4", "bundle_id")
    write_csv(tmp_path / "scored.csv", columns, [dict(zip(columns, ("a", 0, 1, 0, 0, 0, 0, "x"), strict=True))])
    with pytest.raises(DataError, match="the network's own"):
        read_out_of_fold([tmp_path / "scored.csv"])
    write_csv(tmp_path / "none.csv", ("image_id", "grade"), [])
    with pytest.raises(DataError, match="column 'p0' is missing"):
        read_out_of_fold([tmp_path / "none.csv"])


@pytest.mark.parametrize("top", ["0", "-1", "many"])
def test_the_length_of_the_list_is_a_whole_number_from_1(top: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--predictions", "x", "--out", "y", "--top", top)
    assert "a whole number from 1" in capsys.readouterr().err
