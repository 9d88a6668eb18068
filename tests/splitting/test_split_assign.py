"""The figures a split must reach, for any proportions."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.splitting.assign import TEST, apportion, assign, part_shares
from dr_pipeline.splitting.groups import Group, Photograph, group_photographs

TWO_EYES = (2,)
SHARES = (0.36, 0.14, 0.22, 0.14, 0.14)


def patients(count: int, rng: random.Random, sizes: tuple[int, ...], first: int = 0) -> list[Group]:
    photographs = []
    for patient in range(first, first + count):
        worst = rng.choices(range(5), weights=SHARES)[0]
        for number in range(rng.choice(sizes)):
            grade = worst if number == 0 else max(0, worst - rng.randint(0, 1))
            photographs.append(Photograph(f"{patient:05}-{number}", f"P{patient}", "", grade))
    return group_photographs(photographs)


PROPORTIONS = st.tuples(st.floats(0.05, 0.9), st.integers(2, 10))


@settings(max_examples=60, deadline=None)
@given(PROPORTIONS, st.integers(1, 300), st.integers(0, 10**6))
def test_strata_are_within_one_patient_of_the_ideal(asked: tuple[float, int], count: int, seed: int) -> None:
    shares = part_shares(*asked)
    groups = patients(count, random.Random(seed), (1, 2, 3))
    parts = assign(groups, shares, salt=str(seed))
    assert parts.keys() == {group.key for group in groups}
    strata = Counter(group.worst_grade for group in groups)
    drawn = Counter((group.worst_grade, parts[group.key]) for group in groups)
    for grade, total in strata.items():
        for part, share in shares.items():
            assert abs(drawn[grade, part] - share * total) < 1
        for fold in range(asked[1]):  # the training part is what test and validation leave
            train = total - drawn[grade, TEST] - drawn[grade, str(fold)]
            assert abs(train - total * (1 - shares[TEST] - shares[str(fold)])) < 2


@settings(max_examples=40, deadline=None)
@given(
    PROPORTIONS, st.integers(150, 500), st.integers(0, 10**6), st.sampled_from([(1,), TWO_EYES, (1, 2), range(1, 7)])
)
def test_photograph_shares_are_within_three_points(
    asked: tuple[float, int], count: int, seed: int, sizes: tuple[int, ...]
) -> None:
    shares = part_shares(*asked)
    groups = patients(count, random.Random(seed), tuple(sizes))
    parts = assign(groups, shares, salt="s")
    photographs = Counter[str]()
    for group in groups:
        photographs[parts[group.key]] += len(group.photographs)
    total = sum(photographs.values())
    for fold in range(asked[1]):
        test, validation = photographs[TEST] / total, photographs[str(fold)] / total
        assert abs(test - shares[TEST]) <= 0.03
        assert abs(validation - shares[str(fold)]) <= 0.03
        assert abs(test + validation - shares[TEST] - shares[str(fold)]) <= 0.03


@pytest.mark.parametrize(("count", "bar"), [(2000, 0.98), (5000, 0.99)])
@pytest.mark.parametrize("asked", [(0.16, 6), (0.1, 5), (0.3, 3)])
def test_split_stays_when_patients_come_or_go(count: int, bar: float, asked: tuple[float, int]) -> None:
    shares = part_shares(*asked)
    rng = random.Random(7)
    before, kept = [], Counter[str]()
    for salt in ("a", "b", "c"):
        groups = patients(count, rng, TWO_EYES)
        before = assign(groups, shares, salt)
        removed = assign(rng.sample(groups, count - count // 10), shares, salt)
        added = assign(groups + patients(count // 10, rng, TWO_EYES, first=count), shares, salt)
        for after in (removed, added):
            stayed = before.keys() & after.keys()
            for key in stayed:
                kept["of"] += 1
                kept["split"] += (before[key] == TEST) == (after[key] == TEST)
                kept["fold 0"] += _with_fold(before[key], 0) == _with_fold(after[key], 0)
                kept["last fold"] += _with_fold(before[key], asked[1] - 1) == _with_fold(after[key], asked[1] - 1)
    for what in ("split", "fold 0", "last fold"):
        assert kept[what] / kept["of"] >= bar, what


def _with_fold(part: str, fold: int) -> str:
    return TEST if part == TEST else "validation" if part == str(fold) else "train"


def test_order_of_files_changes_nothing_and_another_salt_much() -> None:
    groups = patients(300, random.Random(1), TWO_EYES)
    shares = part_shares(0.2, 5)
    parts = assign(groups, shares, "salt")
    shuffled = groups[:]
    random.Random(2).shuffle(shuffled)
    assert assign(shuffled, shares, "salt") == parts
    other = assign(groups, shares, "pepper")
    assert sum(parts[key] != other[key] for key in parts) > 150


def test_draw_is_pinned() -> None:
    """Another draw would move photographs between training and test of every clinic that upgrades."""
    parts = assign(patients(12, random.Random(3), (1,)), part_shares(0.25, 2), "dr-pipeline")
    assert "".join(parts[key][0] for key in sorted(parts)) == PINNED


PINNED = "tt10t0011010"


@given(st.integers(0, 60), PROPORTIONS)
def test_apportion_seats_everyone(count: int, asked: tuple[float, int]) -> None:
    shares = part_shares(*asked)
    assert sum(apportion(count, shares, dict.fromkeys(shares, 0.0)).values()) == count


def test_large_groups_are_exchanged_where_shares_are_off() -> None:
    """One patient with a fifth of all photographs would upset the shares of the part it is drawn into."""
    groups = group_photographs(
        Photograph(f"{patient}-{eye}", f"P{patient}", "", 0)
        for patient in range(40)
        for eye in range(12 if patient % 4 == 0 else 2)
    )
    shares = part_shares(0.5, 2)
    for salt in map(str, range(20)):
        parts = assign(groups, shares, salt)
        photographs = sum(len(group.photographs) for group in groups if parts[group.key] == TEST)
        assert abs(photographs / sum(len(group.photographs) for group in groups) - 0.5) <= 0.03
