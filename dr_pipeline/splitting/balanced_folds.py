"""Folds of groups whose photographs show several kinds: each kind is spread over the folds."""

import hashlib
from collections import Counter
from collections.abc import Mapping

# Counted as a kind that every photograph shows, so that folds are of one size.
ALL = ""


def balanced_folds(groups: Mapping[str, Counter[str]], num_folds: int, seed: int) -> dict[str, int]:
    """Assigns each group to a fold.

    The groups with most of the rarest kinds come first; each goes where there is least of what it shows.

    Args:
        groups: By name, the number of photographs that show a kind; `ALL` counts the group's photographs.
        num_folds: At most the number of groups.
        seed: Another one gives another assignment of equal groups.
    """
    totals = sum(groups.values(), Counter[str]())
    filled = [Counter[str]() for _ in range(num_folds)]

    def weight(group: str) -> float:
        return sum(number / totals[kind] for kind, number in groups[group].items())

    def overlap(fold: Counter[str], group: str) -> float:
        return sum(number * fold[kind] / totals[kind] ** 2 for kind, number in groups[group].items())

    def drawn(name: str) -> str:
        return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()

    fold_of: dict[str, int] = {}
    for group in sorted(groups, key=lambda name: (-round(weight(name), 9), drawn(name))):
        fold = min(range(num_folds), key=lambda number: (overlap(filled[number], group), filled[number][ALL], number))
        filled[fold] += groups[group]
        fold_of[group] = fold
    return fold_of
