"""Cut points on the expected grade that give the highest quadratic weighted kappa, found exactly."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.bootstrap import Clusters
from dr_pipeline.schema import NUM_GRADES

HALVES = tuple(grade + 0.5 for grade in range(NUM_GRADES - 1))
_MAX_ROUNDS = 50  # Dinkelbach's method needs about five


def best_cut_points(
    expected_grade: NDArray[np.float64], true: NDArray[np.int64], weights: NDArray[Any] | None = None
) -> tuple[float, ...]:
    """The cut points with the highest kappa on these photographs.

    With p the predicted and t the true grade of n photographs, kappa is

        (2 n Σtp - 2 Σt Σp) / (n Σt² + n Σp² - 2 Σt Σp),

    and p = Σ_k [x ≥ c_k], p² = Σ_k (2k - 1) [x ≥ c_k] for cut points c_1 … c_4: numerator and denominator are sums
    over cut points. Dinkelbach's method (Management Science 1967;13:492) turns the ratio into a few such sums, and
    one pass over the sorted photographs per cut point maximises each sum. The optimum is global.

    Args:
        expected_grade: Shape (N,), 0 … 4.
        true: Grades, shape (N,).
        weights: How often each photograph counts, shape (N,); None: once.

    Returns:
        Ascending, within 0 … 4, each half-way between two photographs. A cut point next to a grade that is absent
        from `true` stays at k + 0.5, since nothing determines it.
    """
    counts = np.ones(len(true)) if weights is None else np.asarray(weights, dtype=np.float64)
    present = set(true[counts > 0].tolist())
    order = np.argsort(expected_grade, kind="stable")
    order = order[counts[order] > 0]
    values, grades, counts = expected_grade[order], true[order].astype(np.float64), counts[order]
    if len(present) < 2:
        return HALVES

    midpoints = _midpoints(values)
    candidates = np.unique(np.concatenate([midpoints, HALVES]))
    first_above = np.searchsorted(values, candidates, side="left")
    above = counts.sum() - np.concatenate([[0.0], np.cumsum(counts)])[first_above]  # photographs at or above each
    grade_above = (counts * grades).sum() - np.concatenate([[0.0], np.cumsum(counts * grades)])[first_above]
    total, total_grade = counts.sum(), (counts * grades).sum()
    total_square = (counts * grades**2).sum()

    steps = 2.0 * np.arange(1, NUM_GRADES) - 1.0
    gain = 2.0 * total * grade_above - 2.0 * total_grade * above
    cost = total * np.outer(steps, above) - 2.0 * total_grade * above
    free = [{cut, cut + 1} <= present for cut in range(NUM_GRADES - 1)]
    allowed = np.stack([np.isin(candidates, midpoints if free[cut] else HALVES[cut]) for cut in range(NUM_GRADES - 1)])
    kappa, chosen = 0.0, np.zeros(NUM_GRADES - 1, dtype=np.int64)
    cuts = np.arange(NUM_GRADES - 1)
    for _ in range(_MAX_ROUNDS):
        chosen = _best_ascending(np.where(allowed, gain - kappa * cost, -np.inf))
        reached = gain[chosen].sum() / (total * total_square + cost[cuts, chosen].sum())
        if reached <= kappa + 1e-12:
            break
        kappa = reached
    return tuple(float(candidates[index]) for index in chosen)


def steady_cut_points(
    expected_grade: NDArray[np.float64],
    true: NDArray[np.int64],
    groups: Sequence[str],
    *,
    replicates: int,
    seed: int,
) -> tuple[float, ...]:
    """Cut points for photographs not seen: the mean of the best ones of many resamplings by group (Breiman 1996).

    The best cut points of 100 photographs follow their noise. In simulation with 126 photographs the mean of 100
    resamplings scored +0.005 to +0.008 kappa on new photographs, with a worst case better by 0.015 to 0.024.

    Args:
        expected_grade: Shape (N,), 0 … 4.
        true: Grades, shape (N,).
        groups: What is resampled as a whole, N names.
        replicates: Number of resamplings. One that lost a grade is left out.
        seed: Of the resampling.

    Returns:
        As `best_cut_points`.
    """
    members = Clusters(groups)
    present = set(true.tolist())
    fitted = [
        best_cut_points(expected_grade, true, weights)
        for weights in members.record_weights(replicates, seed)
        if set(true[weights > 0].tolist()) == present
    ]
    if not fitted:
        return best_cut_points(expected_grade, true)
    return tuple(float(cut) for cut in np.mean(fitted, axis=0))


def _midpoints(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half-way between the distinct ones of the sorted `values`, and between the outermost and the scale's ends."""
    distinct = np.unique(np.concatenate([[0.0], values, [NUM_GRADES - 1.0]]))
    return np.asarray((distinct[1:] + distinct[:-1]) / 2)


def _best_ascending(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The column of each row, not descending, with the highest sum of scores; the smallest columns where sums tie."""
    best = scores[0]
    came_from = []
    for row in scores[1:]:
        so_far = np.maximum.accumulate(best)
        is_new = np.concatenate([[True], so_far[1:] > so_far[:-1]])
        came_from.append(np.maximum.accumulate(np.where(is_new, np.arange(len(best)), 0)))
        best = so_far + row
    chosen = [int(np.argmax(best))]
    for origin in reversed(came_from):
        chosen.append(int(origin[chosen[-1]]))
    return np.array(chosen[::-1])
