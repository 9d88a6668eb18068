"""A challenger replaces the champion only on the same photographs, and only within margins that stand in advance."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import GateError
from dr_pipeline.evaluation.promotion import compare_versions
from dr_pipeline.params.evaluation import Evaluation, Promotion
from dr_pipeline.schema import REFERABLE_FROM
from dr_pipeline.tables.compared import ComparedRow

PARAMS = Evaluation(bootstrap_replicates=100, bootstrap_seed=20, confidence=0.95, two_eye_fusion=False)
NONE_LOST = Promotion(qwk_margin=0.0, referable_sensitivity_margin=0.0)
TRUE = [0, 1, 2, 3, 4] * 12


def rows(predicted: Sequence[int], true: Sequence[int] = TRUE) -> list[ComparedRow]:
    """Two photographs per patient; what is predicted as referable is referred."""
    return [
        ComparedRow(
            photograph=f"p{index}",
            group=f"g{index // 2}",
            grade=grade,
            predicted=said,
            referable=said >= REFERABLE_FROM,
        )
        for index, (said, grade) in enumerate(zip(predicted, true, strict=True))
    ]


def worse(every: int) -> list[int]:
    """One grade too low for each `every`-th photograph that is diseased."""
    return [grade - (index % every == 0 and grade > 0) for index, grade in enumerate(TRUE)]


def test_equal_versions_lose_nothing() -> None:
    compared = compare_versions(rows(worse(7)), rows(worse(7)), NONE_LOST, PARAMS)
    assert compared.failures == ()
    for name in ("qwk", "referable_sensitivity"):
        assert {compared.difference[name][key] for key in ("value", "low", "high")} == {0.0}
        assert compared.champion[name] == compared.challenger[name]
    assert compared.lines()[0].endswith("difference 0.000 (0.000 to 0.000, n = 60)")


def test_the_sensitivity_counts_with_its_value() -> None:
    said = list(TRUE)
    missed = [index for index, grade in enumerate(TRUE) if grade == REFERABLE_FROM][:3]
    for index in missed:
        said[index] = 1
    narrow, wide = (Promotion(qwk_margin=0.5, referable_sensitivity_margin=margin) for margin in (0.083, 0.084))
    compared = compare_versions(rows(said), rows(TRUE), narrow, PARAMS)
    assert compared.difference["referable_sensitivity"]["value"] == pytest.approx(-3 / 36)
    assert compared.difference["referable_sensitivity"]["n"] == 36
    (failure,) = compared.failures
    assert "sensitivity is -0.083; it must be at least -0.083" in failure
    assert not compare_versions(rows(said), rows(TRUE), wide, PARAMS).failures


def test_the_lower_bound_of_kappa_counts_not_its_value() -> None:
    compared = compare_versions(rows(worse(9)), rows(worse(8)), NONE_LOST, PARAMS)
    value, low = (compared.difference["qwk"][key] for key in ("value", "low"))
    between = Promotion(qwk_margin=(max(0.0, -value) - low) / 2, referable_sensitivity_margin=0.5)
    assert low < -between.qwk_margin < value
    (failure,) = compare_versions(rows(worse(9)), rows(worse(8)), between, PARAMS).failures
    assert re.search(rf"QWK may be as low as {low:.3f}", failure)


@pytest.mark.parametrize(
    ("true", "reason"),
    [([0, 1] * 30, "sensitivity is undefined"), ([0, 1, 2, 3], "QWK has no interval")],
    ids=["nothing is referable", "two patients"],
)
def test_what_cannot_be_measured_is_no_pass(true: list[int], reason: str) -> None:
    generous = Promotion(qwk_margin=0.9, referable_sensitivity_margin=0.9)
    same = rows(true, true)
    assert any(reason in failure for failure in compare_versions(same, same, generous, PARAMS).failures)


def test_other_photographs_or_grades_are_refused() -> None:
    champion = rows(TRUE)
    another = [replace(champion[0], photograph="q"), *champion[1:]]
    for challenger in ([], champion[:-1], another, [*champion, champion[0]]):
        with pytest.raises(GateError, match="different photographs"):
            compare_versions(challenger, champion, NONE_LOST, PARAMS)
    with pytest.raises(GateError, match="1 photographs have another true grade"):
        compare_versions([replace(champion[0], grade=4), *champion[1:]], champion, NONE_LOST, PARAMS)


@given(st.lists(st.integers(0, 4), min_size=60, max_size=60), st.randoms())
def test_a_perfect_challenger_passes_and_order_does_not_count(said: list[int], random: st.DataObject) -> None:
    perfect, champion = rows(TRUE), rows(said)
    compared = compare_versions(perfect, champion, NONE_LOST, PARAMS)
    assert compared.failures == ()
    shuffled = list(champion)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert compare_versions(perfect, shuffled, NONE_LOST, PARAMS) == compared
