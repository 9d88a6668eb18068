"""Cross-fitting: what is fitted on the other parts of a split grades each part, so that no photograph grades itself."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.cut_points import best_cut_points
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa

_NUM_PARTS = 5


def cross_fitted_kappa(expected_grade: NDArray[np.float64], true: NDArray[np.int64], groups: Sequence[str]) -> float:
    """Quadratic weighted kappa of grades by cut points that are fitted on the other parts.

    It rates the order that a network gives, as the deployed decision uses it, whatever the scale of its outputs: with
    an ordinal loss the rounded expected grade may rate the same network 0.2 lower.

    Args:
        expected_grade: Shape (N,), 0 … 4.
        true: Grades, shape (N,).
        groups: The unit that is never divided, N names.

    Returns:
        NaN where it is undefined, see `quadratic_weighted_kappa`.
    """
    return quadratic_weighted_kappa(true, cross_fitted_grades(expected_grade, true, groups))


def cross_fitted_grades(
    expected_grade: NDArray[np.float64], true: NDArray[np.int64], groups: Sequence[str]
) -> NDArray[np.int64]:
    """Grades, shape (N,), by cut points that are fitted on the other parts; arguments as of `cross_fitted_kappa`."""
    predicted = np.empty(len(true), np.int64)
    for held_out, rest in held_out_parts(groups):
        cuts = best_cut_points(expected_grade[rest], true[rest])
        predicted[held_out] = np.searchsorted(cuts, expected_grade[held_out], side="right")
    return predicted


def held_out_parts(groups: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Positions of each part's photographs, and of all others; where there is one group only, it is both."""
    parts = group_parts(groups)
    for part in np.unique(parts):
        held_out, rest = np.flatnonzero(parts == part), np.flatnonzero(parts != part)
        yield held_out, rest if len(rest) else held_out


def group_parts(groups: Sequence[str]) -> NDArray[np.int64]:
    """The part, 0 … 4, of each photograph, shape (N,): whole groups, dealt in the order of their names' hashes.

    Not stratified by grade: the rest would then have the grade distribution of the part, which new photographs do not.
    """
    order = sorted(set(groups), key=lambda name: hashlib.sha256(f"cross-fit\0{name}".encode()).digest())
    part_of = {name: index % _NUM_PARTS for index, name in enumerate(order)}
    return np.array([part_of[group] for group in groups], dtype=np.int64)
