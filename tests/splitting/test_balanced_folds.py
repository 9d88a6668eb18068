"""Folds of groups: each group in one, each kind in all where that is possible, whatever the order."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.splitting.balanced_folds import ALL, balanced_folds

GROUPS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=4),
    st.tuples(st.integers(1, 3), st.sets(st.sampled_from(["ma", "ex", "se"]))).map(
        lambda drawn: Counter({ALL: drawn[0]} | dict.fromkeys(drawn[1], 1))
    ),
    min_size=5,
    max_size=40,
)


@given(GROUPS, st.integers(2, 5), st.integers(0, 3))
def test_every_fold_has_groups_and_the_order_does_not_matter(
    groups: dict[str, Counter[str]], num_folds: int, seed: int
) -> None:
    folds = balanced_folds(groups, num_folds, seed)
    assert folds.keys() == groups.keys()
    assert set(folds.values()) == set(range(num_folds))
    assert balanced_folds(dict(reversed(groups.items())), num_folds, seed) == folds


def test_a_rare_kind_is_spread_and_folds_are_of_one_size() -> None:
    groups = {f"g{number:02d}": Counter({ALL: 1, "ma": 1}) for number in range(50)}
    for number in range(10):
        groups[f"g{number:02d}"]["se"] = 1
    folds = balanced_folds(groups, 5, seed=20)
    assert set(Counter(folds[f"g{number:02d}"] for number in range(10)).values()) == {2}
    assert set(Counter(folds.values()).values()) == {10}
    assert balanced_folds(groups, 5, seed=21) != folds
