"""Fusion of two eyes: which eyes have a fellow, what is fitted, and that figures are of eyes not fitted on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.evaluation.fellow_eye import (
    Fusion,
    Pairs,
    fit_fusion,
    held_out_fusion,
    pair_eyes,
    validation_fusion,
)
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.tables.splits import SplitRow

pytestmark = pytest.mark.slow

PARAMS = Evaluation(bootstrap_replicates=100, bootstrap_seed=1, confidence=0.95, two_eye_fusion=True)


def draw(seed: int, patients: int, *, shared: bool) -> Pairs:
    """Two eyes of each patient; with `shared` both have the patient's grade, else grades of their own."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 5, (patients, 2))
    if shared:
        true[:, 1] = true[:, 0]
    expected = np.clip(true + 0.8 * rng.normal(size=true.shape), 0, 4)
    groups = tuple(f"g{patient}" for patient in range(patients) for _ in range(2))
    return Pairs(expected.ravel(), expected[:, ::-1].ravel(), true.ravel(), groups)


def row(image_id: str, patient: str, eye: str, visit: str = "") -> SplitRow:
    return SplitRow(
        image_id=image_id,
        patient_id=patient,
        duplicate_cluster="",
        group=f"patient:{patient}",
        grade=0,
        split="development",
        fold=0,
        eye=eye,
        visit=visit,
    )


def test_an_eye_is_paired_with_its_fellow_of_the_same_visit() -> None:
    rows = [
        row("a", "P1", "left"),
        row("b", "P1", "right"),
        row("c", "P1", "right"),  # a second field of the same eye: the higher grade speaks
        row("d", "P2", "left", visit="1"),
        row("e", "P2", "right", visit="2"),  # another visit: no fellow
        row("f", "P3", "left"),
        row("g", "P3", "right"),  # ungradable: no fellow
        row("h", "", "left"),
        row("i", "P4", ""),
    ]
    statuses = ["scored"] * len(rows)
    statuses[6] = "ungradable"
    expected = np.arange(len(rows)) / 10
    true = np.array([0, 4, 1, 2, 2, 3, 3, 0, 0])
    pairs = pair_eyes(expected, true, rows, statuses)
    assert pairs.own.tolist() == [0.0, 0.2]
    assert pairs.fellow.tolist() == [0.2, 0.0]
    assert pairs.true.tolist() == [0, 4]
    assert pairs.groups == ("patient:P1", "patient:P1")


@pytest.mark.parametrize("known", [{"patient": ""}, {"eye": ""}])
def test_where_patients_or_eyes_are_unknown_it_says_so(known: dict[str, str]) -> None:
    rows = [
        row("a", **({"patient": "P", "eye": "left"} | known)),
        row("b", **({"patient": "P", "eye": "right"} | known)),
    ]
    pairs = pair_eyes(np.zeros(2), np.zeros(2, dtype=np.int64), rows, ["scored"] * 2)
    report = validation_fusion(pairs, pairs, params=PARAMS)
    assert (report["n"], report["weight"]) == (0, None)
    assert "undefined" in report["note"]
    assert held_out_fusion(draw(0, 20, shared=True), report, params=PARAMS)["n"] == 0


def test_the_weight_is_the_one_that_correlates_best() -> None:
    pairs = draw(1, 150, shared=True)
    fitted = fit_fusion(pairs, seed=1)

    def correlation(weight: float) -> float:
        return float(np.corrcoef((1 - weight) * pairs.own + weight * pairs.fellow, pairs.true)[0, 1])

    assert 0.3 < fitted.weight <= 0.5
    assert all(correlation(fitted.weight) >= correlation(weight) - 1e-12 for weight in np.linspace(0, 0.5, 51))


def test_a_fellow_eye_that_tells_nothing_gets_next_to_no_weight() -> None:
    assert fit_fusion(draw(2, 300, shared=False), seed=1).weight < 0.1


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([-1.0, 0.0, 1.0]), st.sampled_from([-1.0, 0.0, 1.0]))
def test_the_weight_stays_in_its_limits(seed: int, own: float, fellow: float) -> None:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 5, 12)
    values = [sign * true + rng.normal(size=12) for sign in (own, fellow)]
    fitted = fit_fusion(Pairs(values[0], values[1], true, tuple("abcdefghijkl")), seed=0)
    assert 0 <= fitted.weight <= 0.5
    assert list(fitted.cut_points) == sorted(fitted.cut_points)


def test_fusion_gains_where_eyes_share_a_grade_and_the_locked_one_gains_on_new_eyes() -> None:
    pairs = draw(3, 120, shared=True)
    report = validation_fusion(pairs, pairs, params=PARAMS)
    assert report["n"] == report["qwk"]["n"] == 240
    assert report["qwk_difference"]["low"] > 0
    difference = report["qwk"]["value"] - report["qwk_without_fusion"]["value"]
    assert report["qwk_difference"]["value"] == pytest.approx(difference)
    new = held_out_fusion(draw(4, 120, shared=True), report, params=PARAMS)
    assert new["weight"] == report["weight"]
    assert new["qwk_difference"]["low"] > 0


def test_figures_are_of_eyes_that_were_not_fitted_on() -> None:
    """A grade that nothing tells: fitted on itself it would be better than chance."""
    rng = np.random.default_rng(5)
    values = []
    for seed in range(2):
        pairs = draw(seed, 30, shared=True)
        noise = Pairs(pairs.own, pairs.fellow, rng.integers(0, 5, 60), tuple(f"g{number}" for number in range(60)))
        values.append(validation_fusion(noise, noise, params=PARAMS)["qwk"]["value"])
    assert np.mean(values) < 0.1


def test_a_fused_grade_counts_the_cut_points_below_it() -> None:
    pairs = Pairs(np.array([1.0, 3.0]), np.array([3.0, 1.0]), np.array([1, 3]), ("a", "a"))
    fused, alone = Fusion(0.25, (0.5, 1.5, 2.5, 3.5), (0.5, 1.0, 3.5, 3.9)).grades(pairs)
    assert fused.tolist() == [2, 3]  # 1.5 and 2.5: at a cut point is above it
    assert alone.tolist() == [2, 2]


def test_one_group_in_all_is_fitted_on_itself() -> None:
    pairs = draw(6, 5, shared=True)
    one = Pairs(pairs.own, pairs.fellow, pairs.true, ("g",) * 10)
    assert validation_fusion(one, one, params=PARAMS)["n"] == 10
