"""Two networks in a row: a small one grades, and a large one only where the small one is near a cut point.

Evaluated on validation and reported; not deployed, since a bundle holds one network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import distance_to_cut
from dr_pipeline.evaluation.decision_fit import review_margin
from dr_pipeline.metrics.bootstrap import paired_qwk_difference, qwk_estimate
from dr_pipeline.metrics.cross_fitting import held_out_parts
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa

_STEPS = 10  # margins tried between asking the large network never and as often as the time allows


@dataclass(frozen=True)
class Stage:
    """A candidate as one stage of a cascade.

    Attributes:
        name: The candidate.
        grade: Its grades on N photographs, each by a decision fitted on others, shape (N,).
        expected: Its expected grades, shape (N,).
        cut_points: Of its deployed decision.
        mean_ms: Mean time from file to grade.
        p95_ms: 95th percentile of it.
        network_ms: Median time of the network alone.
    """

    name: str
    grade: NDArray[np.int64]
    expected: NDArray[np.float64]
    cut_points: Sequence[float]
    mean_ms: float
    p95_ms: float
    network_ms: float

    @property
    def distance(self) -> NDArray[np.float64]:
        """Of each expected grade to the nearest cut point, shape (N,)."""
        return distance_to_cut(self.expected, np.asarray(self.cut_points))


def evaluate_cascades(
    stages: Sequence[Stage],
    true: NDArray[np.int64],
    groups: Sequence[str],
    *,
    budget_ms: float,
    replicates: int,
    seed: int,
    confidence: float,
) -> list[dict[str, Any]]:
    """Each pair of a faster and a slower network that takes no more time on average than the slower one alone.

    The photograph is decoded and preprocessed once; the second network adds its own time only. The margin is fitted on
    the other parts of the split for each part, so that no photograph chooses it for itself.

    Args:
        stages: The candidates, graded on the same photographs.
        true: Readers' grades, shape (N,).
        groups: The unit of resampling, N names.
        budget_ms: The latency budget.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.
        confidence: Such as 0.95.

    Returns:
        For each pair the QWK, the paired differences from both networks, the share of photographs that both grade, the
        mean time and, as an estimate from above, p95; `beats_both`: both differences lie above zero with their whole
        intervals, within the budget.
    """
    options: Any = {"replicates": replicates, "seed": seed, "confidence": confidence}
    rows = []
    for small, large in permutations(sorted(stages, key=lambda stage: stage.name), 2):
        most = most_asked(small, large)
        if most <= 0:
            continue
        grade, asked = cross_fit(small, large, true, groups, most=most)
        differences = [
            paired_qwk_difference(true, grade, alone.grade, groups, **options).to_dict() for alone in (small, large)
        ]
        share = float(asked.mean())
        p95_ms = large.p95_ms + small.network_ms if share else small.p95_ms
        above = all(difference["low"] is not None and difference["low"] > 0 for difference in differences)
        rows.append(
            {
                "small": small.name,
                "large": large.name,
                "qwk": qwk_estimate(true, grade, groups, **options).to_dict(),
                "qwk_minus_small": differences[0],
                "qwk_minus_large": differences[1],
                "asked_share": round(share, 4),
                "mean_ms": round(small.mean_ms + share * large.network_ms, 3),
                "p95_ms_at_most": round(p95_ms, 3),
                "beats_both": above and p95_ms <= budget_ms,
                "deployed": False,
            }
        )
    return rows


def most_asked(small: Stage, large: Stage) -> float:
    """The share of photographs, 0 … 1, for which the large network can be asked until the mean time is its own."""
    return min(1.0, (large.mean_ms - small.mean_ms) / large.network_ms)


def cross_fit(
    small: Stage, large: Stage, true: NDArray[np.int64], groups: Sequence[str], *, most: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The cascade's grades and where it asks the large network, both of shape (N,), with held-out margins."""
    distance = small.distance
    asked = np.zeros(len(true), np.bool_)
    for held_out, rest in held_out_parts(groups):
        margin = fit_margin(distance[rest], small.grade[rest], large.grade[rest], true[rest], most=most)
        asked[held_out] = distance[held_out] < margin
    return np.where(asked, large.grade, small.grade), asked


def fit_margin(
    distance: NDArray[np.float64],
    small: NDArray[np.int64],
    large: NDArray[np.int64],
    true: NDArray[np.int64],
    *,
    most: float,
) -> float:
    """The margin, below which the large network is asked, of the highest QWK; of equals the smallest."""
    margins = [review_margin(distance, share) for share in np.linspace(0, most, _STEPS + 1).tolist()]

    def kappa(margin: float) -> float:
        value = quadratic_weighted_kappa(true, np.where(distance < margin, large, small))
        return value if np.isfinite(value) else -np.inf

    return max(margins, key=lambda margin: (kappa(margin), -margin))
