"""Capacity from a rate: by hand."""

import pytest

from benchmarks.capacity import Rate, duration, table


def test_core_hours_and_hours_follow_from_the_rate() -> None:
    rate = Rate(files_per_s=20, cores=2)
    assert rate.core_hours(36_000) == pytest.approx(1)  # 36,000 / 20 s of two cores
    assert rate.hours(36_000, machines=1, cores=2) == pytest.approx(0.5)
    assert Rate(20, 2, usable=0.5).core_hours(36_000) == pytest.approx(2)


def test_a_table_has_a_cost_only_where_a_price_is_given() -> None:
    rate = Rate(20, 2)
    assert "cost" not in table(rate, None)
    million = next(line for line in table(rate, 0.5).splitlines() if line.startswith("| 1,000,000 "))
    assert "| 27.78 | 13.889 |" in million


@pytest.mark.parametrize(("hours", "text"), [(0.01, "1 min"), (0.5, "30 min"), (2.51, "2.5 h"), (72, "3.0 days")])
def test_durations_are_readable(hours: float, text: str) -> None:
    assert duration(hours) == text
