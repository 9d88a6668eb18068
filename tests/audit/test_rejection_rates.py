"""Rejection rates by grade and site, with intervals, and the warning about severe grades."""

import pytest

from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.audit.rejection_rates import rejection_by_grade, rejection_by_site, severe_rejected_more
from dr_pipeline.metrics.intervals import wilson
from tests.factories.audit_tables import PLANTED, inputs_of


def graded(grade: str, total: int, rejected: int) -> list[tuple[str, str, str, str, str]]:
    return [(f"{grade}-{n}", "", grade, "", "ungradable" if n < rejected else "scored") for n in range(total)]


def rejected(healthy: tuple[int, int], sick: tuple[int, int]) -> AuditInputs:
    return inputs_of(*graded("0", *healthy), *graded("3", *sick))


def test_all_three_statuses_count_by_grade() -> None:
    four = rejection_by_grade(inputs_of(*PLANTED))["4"].to_dict()
    assert {key: four[key] for key in ("n", "ungradable", "not_fundus", "failed", "share")} == {
        "n": 4, "ungradable": 1, "not_fundus": 1, "failed": 1, "share": 0.75,
    }  # fmt: skip
    assert four["low"] < 0.75 < four["high"]


def test_the_interval_is_wilsons_where_patients_are_unknown() -> None:
    row = rejection_by_grade(rejected((200, 10), (50, 10)))["3"].to_dict()
    assert (row["low"], row["high"]) == pytest.approx(wilson(10, 50, 0.95), abs=2e-3)  # less one patient


def test_an_absent_grade_has_no_interval() -> None:
    row = rejection_by_grade(rejected((5, 0), (5, 0)))["2"].to_dict()
    assert row == {
        "n": 0, "ungradable": 0, "not_fundus": 0, "failed": 0, "share": 0.0, "low": None, "high": None,
    }  # fmt: skip


def test_rejection_by_site() -> None:
    inputs = inputs_of(*PLANTED, more={name: {"site": "hill"} for name in ("e", "g", "a")})
    sites = {site: rate.to_dict() for site, rate in rejection_by_site(inputs).items()}
    assert list(sites) == ["", "hill"]
    assert (sites["hill"]["n"], sites["hill"]["share"]) == (3, 0.6667)
    assert (sites[""]["n"], sites[""]["not_fundus"]) == (9, 2)


@pytest.mark.parametrize(
    ("healthy", "sick", "warned"),
    [
        ((200, 10), (50, 15), True),
        ((200, 10), (50, 3), False),
        ((200, 60), (50, 5), False),  # the healthy are rejected more often
        ((200, 0), (0, 0), False),
        ((10, 0), (10, 2), False),  # too few to conclude
    ],
)
def test_the_warning_needs_a_difference_that_is_not_chance(
    healthy: tuple[int, int], sick: tuple[int, int], warned: bool
) -> None:
    warning = severe_rejected_more(rejected(healthy, sick))
    assert bool(warning) is warned
    if warned:
        assert "30.0 % of 50 against 5.0 % of 200" in warning
