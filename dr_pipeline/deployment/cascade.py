"""Two networks in a row: a small one grades, and a large one only where the small one is near a cut point.

Fitted and compared here, on validation logits; `export_cascades` writes what is worth it as one graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import distance_to_cut, expected_grade
from dr_pipeline.evaluation.decision_fit import cross_fitted, review_margin
from dr_pipeline.metrics.bootstrap import paired_qwk_difference, qwk_estimate
from dr_pipeline.metrics.calibration import fit_temperature
from dr_pipeline.metrics.cross_fitting import held_out_parts
from dr_pipeline.metrics.cut_points import best_cut_points, steady_cut_points
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.params.evaluation import OperatingPoint

_STEPS = 10  # margins tried between asking the large network never and as often as the time allows
_REPEATABILITY = 0.10  # how far a latency moves from run to run; as in `selection`
_RESAMPLINGS = 50  # that steady the cut points: of noisy grades the best ones lie anywhere between two grades
_IN_P95 = 0.05  # asked less often than this, the large network is not in the 95th percentile


@dataclass(frozen=True)
class Routing:
    """When the large network is asked, and how the logits of both come to one scale.

    Attributes:
        temperatures: Of calibration, of the small and of the large network: their logits are divided by them.
        cut_points: On the small network's expected grade, ascending.
        margin: The large network is asked where that grade is closer than this to a cut point.
    """

    temperatures: tuple[float, float]
    cut_points: tuple[float, ...]
    margin: float

    def distance(self, small: NDArray[Any]) -> NDArray[np.float64]:
        """Of the small network's expected grade to the nearest cut point, shape (N,); `small`: its logits (N, 5)."""
        return distance_to_cut(expected_grade(small, self.temperatures[0]), np.asarray(self.cut_points))

    def asked(self, small: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether the large network is asked, shape (N,)."""
        return np.asarray(self.distance(small) < self.margin)

    def logits(self, small: NDArray[Any], large: NDArray[Any]) -> NDArray[np.float64]:
        """The cascade's logits, shape (N, 5), from those of both networks."""
        one, two = (logits / at for logits, at in zip((small, large), self.temperatures, strict=True))
        return np.where(self.asked(small)[:, None], two, one)

    def to_dict(self) -> dict[str, Any]:
        """For export.json and the bundle."""
        return asdict(self)


@dataclass(frozen=True)
class Stage:
    """A candidate as one stage of a cascade.

    Attributes:
        name: The candidate.
        input_px: Side of its input.
        logits: On N validation photographs, shape (N, 5).
        grade: Its grades there, each by a decision fitted on others, shape (N,).
        mean_ms: Mean time from file to grade.
        p95_ms: 95th percentile of it.
        network_ms: Median time of the network alone.
    """

    name: str
    input_px: int
    logits: NDArray[np.float64]
    grade: NDArray[np.int64]
    mean_ms: float
    p95_ms: float
    network_ms: float


@dataclass(frozen=True)
class CascadeLimits:
    """What a cascade must hold.

    Attributes:
        budget_ms: Of its p95, which is that of both networks where more than a twentieth of the photographs meet both.
        qwk_margin: "As good as the large one": the lower end of the paired interval of QWK is at least its negative.
    """

    budget_ms: float
    qwk_margin: float


def evaluate_cascades(
    stages: Sequence[Stage],
    true: NDArray[np.int64],
    groups: Sequence[str],
    limits: CascadeLimits,
    targets: OperatingPoint,
    *,
    replicates: int,
    seed: int,
    confidence: float,
) -> list[dict[str, Any]]:
    """Each pair of a faster and a slower network that takes no more time on average than the slower one alone.

    The photograph is decoded and preprocessed once; the second network adds its own time only. Routing and decision
    are fitted on the other parts of the split for each part, so that no photograph chooses them for itself.

    Args:
        stages: The candidates, graded on the same photographs.
        true: Readers' grades, shape (N,).
        groups: The unit of resampling, N names.
        limits: What a cascade must hold.
        targets: The operating point, as `validate` fits it.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.
        confidence: Such as 0.95.

    Returns:
        For each pair the QWK, the paired differences from both networks, the share of photographs that both grade, the
        mean time and, as an estimate from above, p95; `reasons` not to export it; none: it is worth it.
    """
    options: Any = {"replicates": replicates, "seed": seed, "confidence": confidence}
    rows = []
    for small, large in permutations(sorted(stages, key=lambda stage: stage.name), 2):
        most = most_asked(small, large)
        if most <= 0:
            continue
        mixed, asked = cross_fit(small.logits, large.logits, true, groups, most=most, seed=seed)
        share = float(asked.mean())
        grade = cross_fitted(mixed, true, groups, targets, seed=seed).grade if share else small.grade
        minus_small, minus_large = (
            paired_qwk_difference(true, grade, alone.grade, groups, **options).to_dict() for alone in (small, large)
        )
        mean_ms = small.mean_ms + share * large.network_ms
        p95_ms = large.p95_ms + small.network_ms if share else small.p95_ms
        reasons = [
            f"their inputs have {small.input_px} and {large.input_px} px; one graph needs one side"
            if small.input_px != large.input_px
            else "",
            f"p95 may reach {p95_ms:.1f} ms, over the budget of {limits.budget_ms:g} ms"
            if share > _IN_P95 and p95_ms > limits.budget_ms
            else "",
            not_worth_it(minus_small, minus_large, mean_ms / large.mean_ms, qwk_margin=limits.qwk_margin)
            if share
            else "the large network is never asked",
        ]
        rows.append(
            {
                "small": small.name,
                "large": large.name,
                "qwk": qwk_estimate(true, grade, groups, **options).to_dict(),
                "qwk_minus_small": minus_small,
                "qwk_minus_large": minus_large,
                "asked_share": round(share, 4),
                "mean_ms": round(mean_ms, 3),
                "p95_ms_at_most": round(p95_ms, 3),
                "reasons": list(filter(None, reasons)),
            }
        )
    return rows


def not_worth_it(
    minus_small: Mapping[str, Any], minus_large: Mapping[str, Any], relative_time: float, *, qwk_margin: float
) -> str:
    """Why a cascade does not earn its second network; empty: it does.

    It has to be better than both networks at the large one's mean time, or better than the small one and as good as
    the large one in less time, by more than a latency moves from run to run.

    Args:
        minus_small: Its QWK less the small network's, paired: value, low, high, n.
        minus_large: Likewise of the large one.
        relative_time: Its mean time over that of the large network.
        qwk_margin: See `CascadeLimits`.
    """
    lows = [difference["low"] for difference in (minus_small, minus_large)]
    if None in lows:
        return f"the interval of a difference of QWK is undefined (n = {minus_small['n']})"
    if lows[0] <= 0:
        return f"not better than the small network alone: QWK {minus_small['value']:+.4f}, lower end {lows[0]:+.4f}"
    is_better = lows[1] > 0 and relative_time <= 1 + _REPEATABILITY
    is_as_good = lows[1] >= -qwk_margin and relative_time <= 1 - _REPEATABILITY
    if is_better or is_as_good:
        return ""
    return (
        f"neither better than the large network alone nor as good in less time: QWK {minus_large['value']:+.4f}, lower "
        f"end {lows[1]:+.4f}, {relative_time:.2f} of its mean time"
    )


def most_asked(small: Stage, large: Stage) -> float:
    """The share of photographs, 0 … 1, for which the large network can be asked until the mean time is its own."""
    return min(1.0, (large.mean_ms - small.mean_ms) / large.network_ms)


def cross_fit(
    small: NDArray[np.float64],
    large: NDArray[np.float64],
    true: NDArray[np.int64],
    groups: Sequence[str],
    *,
    most: float,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The cascade's logits, shape (N, 5), and where it asks the large network, (N,), each by a routing of others."""
    mixed, asked = np.zeros(small.shape), np.zeros(len(true), np.bool_)
    for held_out, rest in held_out_parts(groups):
        rest_groups = [groups[row] for row in rest.tolist()]
        routing = fit_routing(small[rest], large[rest], true[rest], rest_groups, most=most, seed=seed)
        mixed[held_out] = routing.logits(small[held_out], large[held_out])
        asked[held_out] = routing.asked(small[held_out])
    return mixed, asked


def fit_routing(
    small: NDArray[np.float64],
    large: NDArray[np.float64],
    true: NDArray[np.int64],
    groups: Sequence[str],
    *,
    most: float,
    seed: int,
) -> Routing:
    """The routing of the highest QWK by the best cut points; of equals the one that asks least.

    Args:
        small: Logits of the small network, shape (N, 5).
        large: Of the large one.
        true: Readers' grades, shape (N,).
        groups: The unit of resampling, N names.
        most: The largest share of the photographs for which the large network is asked.
        seed: Of the resamplings that steady the cut points.
    """
    temperatures = fit_temperature(small, true), fit_temperature(large, true)
    alone = expected_grade(small, temperatures[0])
    cuts = steady_cut_points(alone, true, groups, replicates=_RESAMPLINGS, seed=seed)
    never = Routing(temperatures, cuts, 0.0)
    distance = never.distance(small)
    margins = [review_margin(distance, share) for share in np.linspace(0, most, _STEPS + 1).tolist()]
    both = expected_grade(large, temperatures[1])

    def kappa(margin: float) -> float:
        expected = np.where(distance < margin, both, alone)
        grade = np.searchsorted(best_cut_points(expected, true), expected, side="right")
        value = quadratic_weighted_kappa(true, grade)
        return value if np.isfinite(value) else -np.inf

    margin = max(margins, key=lambda margin: (kappa(margin), -margin))
    return Routing(temperatures, cuts, margin)
