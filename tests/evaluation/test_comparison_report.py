"""A challenger replaces the champion only on the same photographs, and only within margins that stand in advance."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.evaluation.comparison import ENDPOINTS, Verdict, declared_margins
from dr_pipeline.evaluation.comparison_report import Comparison, compare_pair, read_comparison
from dr_pipeline.evaluation.paired_answers import pair_rows
from dr_pipeline.files import canonical_json
from dr_pipeline.schema import REFERABLE_FROM, Status
from dr_pipeline.tables.compared import ComparedRow

DRAWN = {"replicates": 100, "seed": 20, "confidence": 0.95}
TRUE = [0, 1, 2, 3, 4] * 12
NAMES = {"old": {"name": "old", "id": "a" * 16}, "new": {"name": "new", "id": "b" * 16}}
IDS = {"old": "a" * 16, "new": "b" * 16}


def rows(predicted: Sequence[int], true: Sequence[int] = TRUE) -> dict[str, ComparedRow]:
    """Two photographs per patient; what is predicted as referable is referred."""
    table = [
        ComparedRow(
            photograph=f"p{index}",
            group=f"patient:g{index // 2}",
            grade=grade,
            predicted=said,
            probabilities=tuple(0.6 if each == said else 0.1 for each in range(5)),
            referable=said >= REFERABLE_FROM,
            referable_probability=said / 4,
            status=Status.SCORED,
        )
        for index, (said, grade) in enumerate(zip(predicted, true, strict=True))
    ]
    return {row.photograph: row for row in table}


def only(name: str, margin: float) -> dict[str, float | None]:
    """Every endpoint but one is shown only."""
    return declared_margins(dict.fromkeys(ENDPOINTS) | {name: margin})


def compared(
    challenger: dict[str, ComparedRow], champion: dict[str, ComparedRow], margins: dict[str, float | None]
) -> Comparison:
    pair = pair_rows(champion, challenger, Answers.of_compared, where="a test")
    return compare_pair(pair, margins, DRAWN, **NAMES)


def worse(every: int) -> list[int]:
    """One grade too low for each `every`-th photograph that is diseased."""
    return [grade - (index % every == 0 and grade > 0) for index, grade in enumerate(TRUE)]


def test_equal_versions_lose_nothing() -> None:
    none_lost = declared_margins(dict.fromkeys(ENDPOINTS, 0.0))
    found = compared(rows(worse(7)), rows(worse(7)), none_lost)
    assert found.passed
    assert found.report["verdict"] is Verdict.IDENTICAL
    assert found.failures == found.changed == ()
    assert {found.report["endpoints"]["qwk"]["difference"][key] for key in ("value", "low", "high")} == {0.0}
    assert found.lines()[0] == "60 photographs, 0 with another answer; verdict: identical"
    assert "difference 0.000 (0.000 to 0.000, n = 60); margin 0: identical" in found.lines()[1]


@pytest.mark.parametrize("name", ["qwk", "referable_sensitivity", "vision_threatening_sensitivity", "brier"])
def test_the_bound_of_the_interval_counts_not_the_difference(name: str) -> None:
    found = compared(rows(worse(9)), rows(worse(8)), only(name, 0.0))
    difference = found.report["endpoints"][name]["difference"]
    sign = 1 if ENDPOINTS[name].higher_is_better else -1
    value, bound = sign * difference["value"], min(sign * difference["low"], sign * difference["high"])
    between = (max(0.0, -value) - bound) / 2
    assert bound < -between < value
    refused = compared(rows(worse(9)), rows(worse(8)), only(name, between))
    assert refused.failures == (f"{name} is not shown",)
    assert not refused.passed
    assert compared(rows(worse(9)), rows(worse(8)), only(name, -bound)).passed


def test_a_photograph_that_is_missed_costs_sensitivity_among_the_referable() -> None:
    said = list(TRUE)
    for index in [index for index, grade in enumerate(TRUE) if grade == REFERABLE_FROM][:3]:
        said[index] = 1
    found = compared(rows(said), rows(TRUE), only("referable_sensitivity", 0.05))
    difference = found.report["endpoints"]["referable_sensitivity"]["difference"]
    assert difference["value"] == pytest.approx(-3 / 36)
    assert difference["n"] == 36
    assert [row.image_id for row in found.changed] == ["p12", "p2", "p7"]


def test_what_cannot_be_measured_is_no_pass() -> None:
    generous = declared_margins(dict.fromkeys(ENDPOINTS, 0.9))
    with pytest.raises(DataError, match=r"0 of 60 photographs .* are referable"):
        compared(rows([0, 1] * 30, [0, 1] * 30), rows([0, 0] * 30, [0, 1] * 30), generous)
    found = compared(rows([0, 1, 2, 3], [0, 1, 2, 3]), rows([0, 1, 2, 2], [0, 1, 2, 3]), generous)
    assert "qwk is not shown" in found.failures
    assert "difference 0.125 (no interval, n = 4)" in found.lines()[1]


def test_other_photographs_grades_or_patients_are_refused() -> None:
    champion, first = rows(TRUE), rows(TRUE)["p0"]
    for challenger in ({}, rows(TRUE[:-1], TRUE[:-1]), champion | {"q": first}):
        with pytest.raises(DataError, match="not of the same photographs"):
            compared(challenger, champion, only("qwk", 0.0))
    with pytest.raises(DataError, match="1 photographs have another grade by the readers"):
        compared(champion | {"p0": replace(first, grade=4)}, champion, only("qwk", 0.0))
    with pytest.raises(DataError, match="1 photographs have another patient"):
        compared(champion | {"p0": replace(first, group="patient:x")}, champion, only("qwk", 0.0))


@settings(max_examples=25)
@given(st.lists(st.integers(0, 4), min_size=60, max_size=60), st.randoms())
def test_a_perfect_challenger_passes_and_order_does_not_count(said: list[int], random: st.DataObject) -> None:
    perfect, champion, margins = rows(TRUE), rows(said), only("qwk", 0.0)
    found = compared(perfect, champion, margins)
    assert found.passed
    shuffled = list(champion.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert compared(perfect, dict(shuffled), margins) == found


def test_a_report_that_is_read_back_is_decided_by_other_margins(tmp_path: Path) -> None:
    path = tmp_path / "comparison.json"
    strict, lax = only("qwk", 0.0), only("qwk", 0.9)
    written = compared(rows(worse(9)), rows(worse(8)), strict)
    path.write_text(canonical_json(written.report))
    again = read_comparison(path, strict, **IDS)
    assert (again.passed, again.failures, again.lines()) == (False, written.failures, written.lines())
    assert read_comparison(path, lax, **IDS).passed
    same = compared(rows(TRUE), rows(TRUE), lax)
    path.write_text(canonical_json(same.report))
    assert read_comparison(path, declared_margins({}), **IDS).report["verdict"] is Verdict.IDENTICAL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: report["new"].update(id="c" * 16), "compares a+ with c+, not bundle a+, the champion, with"),
        (lambda report: report.pop("endpoints"), "no comparison of two graders"),
        (lambda report: report["endpoints"]["qwk"]["difference"].update(low="0"), "no comparison of two graders"),
        (lambda report: report.update(old="a"), "no comparison of two graders"),
    ],
)
def test_a_file_that_is_no_comparison_of_the_two_is_refused(tmp_path: Path, change, message: str) -> None:
    report = compared(rows(worse(9)), rows(TRUE), only("qwk", 0.1)).report
    report = json.loads(canonical_json(report))
    change(report)
    path = tmp_path / "comparison.json"
    path.write_text(json.dumps(report))
    with pytest.raises(DataError, match=message):
        read_comparison(path, only("qwk", 0.1), **IDS)


def test_a_grade_that_no_clinic_sees_is_referred() -> None:
    table = rows(TRUE)
    unseen = table | {"p0": replace(table["p0"], status=Status.UNGRADABLE)}
    found = compared(unseen, table, only("ungradable", 0.5))
    assert found.report["endpoints"]["ungradable"]["difference"]["value"] == pytest.approx(1 / 60)
    assert found.report["changed"]["others_now_referred"] == 1
    assert np.isclose(found.report["endpoints"]["referable_specificity"]["difference"]["value"], -1 / 24)
