"""Confidence intervals by resampling patients: photographs of one patient stay together, since they are alike."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_pipeline.metrics.intervals import Estimate, student_quantile
from dr_pipeline.metrics.kappa import kappa_of_confusions
from dr_pipeline.schema import NUM_GRADES

# Of the resamplings' distribution; `expanded` where nothing is stated, since it covers best with few groups.
Method = Literal["expanded", "percentile", "bca"]
METHODS: tuple[Method, ...] = ("expanded", "percentile", "bca")

_BLOCK = 1 << 22  # weights held at a time, 32 MiB
_LEAST_DEFINED = 0.9  # fraction of resamplings in which a figure must be defined to have an interval


class Clusters:
    """The groups that are resampled as wholes, sorted by name, so that results do not depend on the rows' order.

    Attributes:
        index: The group of each record, shape (N,).
        count: Number of groups, G.
    """

    def __init__(self, groups: Sequence[str]) -> None:
        names, self.index = np.unique(np.asarray(groups), return_inverse=True)
        self.count = len(names)

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Adds records up by group: (N, K) gives (G, K)."""
        totals = np.zeros((self.count, values.shape[1]))
        np.add.at(totals, self.index, values)
        return totals

    def weight_blocks(self, replicates: int, seed: int) -> Iterator[NDArray[np.float64]]:
        """How often each group is drawn in each resampling, in blocks of shape (some, G), `replicates` rows in all."""
        rng = np.random.default_rng(seed)
        rows = max(1, min(replicates, _BLOCK // max(1, self.count)))
        for start in range(0, replicates, rows):
            block = min(rows, replicates - start)
            drawn = rng.integers(self.count, size=(block, self.count))
            drawn += self.count * np.arange(block)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=block * self.count)
            yield counts.reshape(block, self.count).astype(np.float64)

    def record_weights(self, replicates: int, seed: int) -> Iterator[NDArray[np.float64]]:
        """How often each record is drawn, shape (N,), resampling after resampling."""
        for block in self.weight_blocks(replicates, seed):
            for weights in block:
                yield weights[self.index]


def percentile_interval(
    replicates: NDArray[np.float64], confidence: float, count: int, *, expanded: bool = True
) -> tuple[float, float]:
    """The expanded percentile interval (Hesterberg, The American Statistician 2015;69:371), or the plain one.

    Plain percentiles are too narrow for few groups, by the factor √((G - 1)/G) and by the normal instead of Student's
    distribution; the expanded ones take percentiles further out. For kappa on 63 patients with two eyes each it
    covers as well as BCa, which costs a jackknife (tests/metrics/test_coverage.py).

    Args:
        replicates: The figure in each resampling; nan where undefined.
        confidence: Such as 0.95.
        count: Number of groups, G.
        expanded: False: the plain percentiles (Efron 1979).

    Returns:
        Low and high; nan where G is below 3 or the figure is undefined in over a tenth of the resamplings.
    """
    if not _enough(replicates, count):
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    if expanded:
        outer = student_quantile(0.5 + confidence / 2, count - 1) * math.sqrt(count / (count - 1))
        tail = 1.0 - NormalDist().cdf(outer)
    low, high = np.quantile(replicates[np.isfinite(replicates)], [tail, 1.0 - tail])
    return float(low), float(high)


def bca_interval(
    replicates: NDArray[np.float64], value: float, without: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """The bias-corrected and accelerated interval (Efron, JASA 1987;82:171).

    Args:
        replicates: The figure in each resampling; nan where undefined.
        value: The figure itself.
        without: The figure without each group, shape (G,).
        confidence: Such as 0.95.

    Returns:
        Low and high; nan where `percentile_interval` has nan, where the figure is undefined without one of the groups,
        or where it lies outside all replicates.
    """
    defined = replicates[np.isfinite(replicates)]
    if not _enough(replicates, len(without)) or not np.isfinite(without).all():
        return math.nan, math.nan
    below = float(np.mean(defined < value) + np.mean(defined == value) / 2)
    if not 0 < below < 1:
        return math.nan, math.nan
    normal = NormalDist()
    bias = normal.inv_cdf(below)
    influence = without.mean() - without
    scale = float((influence**2).sum()) ** 1.5
    acceleration = float((influence**3).sum()) / (6 * scale) if scale else 0.0
    tails = []
    for quantile in ((1 - confidence) / 2, (1 + confidence) / 2):
        shifted = bias + normal.inv_cdf(quantile)
        tails.append(normal.cdf(bias + shifted / (1 - acceleration * shifted)))
    low, high = np.quantile(defined, tails)
    return float(low), float(high)


def _enough(replicates: NDArray[np.float64], count: int) -> bool:
    return count >= 3 and bool(np.isfinite(replicates).sum() >= _LEAST_DEFINED * len(replicates))


def bootstrap_sums(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    values: NDArray[Any],
    groups: Sequence[str],
    *,
    replicates: int,
    seed: int,
    confidence: float,
    recentre: bool = False,
    method: Method = "expanded",
) -> Estimate:
    """Bootstraps a figure that depends on the records only through sums over them, such as kappa or a mean.

    Args:
        statistic: Gives the figures, shape (R,), of R rows of sums, shape (R, K).
        values: What is summed, shape (N, K).
        groups: What is resampled as a whole, N names.
        replicates: Number of resamplings.
        seed: Of the resampling.
        confidence: Such as 0.95.
        recentre: Shift the replicates so that their mean is the figure; for figures that resampling biases upwards.
        method: Of the interval.
    """
    (estimate,) = bootstrap_many_sums(
        lambda sums: statistic(sums)[:, None],
        values,
        groups,
        replicates=replicates,
        seed=seed,
        confidence=confidence,
        recentre=recentre,
        method=method,
    )
    return estimate


def bootstrap_many_sums(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    values: NDArray[Any],
    groups: Sequence[str],
    *,
    replicates: int,
    seed: int,
    confidence: float,
    recentre: bool = False,
    method: Method = "expanded",
) -> list[Estimate]:
    """Several figures from the same resamplings; `statistic` gives shape (R, F), the rest is as `bootstrap_sums`."""
    clusters = Clusters(groups)
    sums = clusters.sums(values)
    with np.errstate(invalid="ignore", divide="ignore"):  # sums of no record
        figures = statistic(sums.sum(axis=0, keepdims=True))[0]
    if clusters.count == 0:
        return [Estimate(math.nan, math.nan, math.nan, 0)] * len(figures)
    # einsum, not BLAS: BLAS threads wait for each other on a busy machine, which is ten times slower.
    blocks = (np.einsum("rg,gk->rk", weights, sums) for weights in clusters.weight_blocks(replicates, seed))
    resampled = np.concatenate([statistic(block) for block in blocks])
    if recentre:
        resampled = resampled + (figures - resampled.mean(axis=0))
    without = statistic(sums.sum(axis=0) - sums) if method == "bca" else None
    return _estimates(figures, resampled, without, clusters.count, len(values), confidence, method)


def bootstrap_weights(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    groups: Sequence[str],
    *,
    replicates: int,
    seed: int,
    confidence: float,
    method: Method = "expanded",
) -> Estimate:
    """Bootstraps a figure of weighted records, such as the area under a curve.

    Args:
        statistic: Gives the figures, shape (R,), of R rows of record weights, shape (R, N).
        groups: What is resampled as a whole, N names.
        replicates: Number of resamplings.
        seed: Of the resampling.
        confidence: Such as 0.95.
        method: Of the interval.
    """
    if len(groups) == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    (estimate,) = bootstrap_many_weights(
        lambda weights: statistic(weights)[:, None],
        groups,
        replicates=replicates,
        seed=seed,
        confidence=confidence,
        method=method,
    )
    return estimate


def bootstrap_many_weights(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    groups: Sequence[str],
    *,
    replicates: int,
    seed: int,
    confidence: float,
    method: Method = "expanded",
) -> list[Estimate]:
    """Several figures from the same resamplings; `statistic` gives shape (R, F), the rest is as `bootstrap_weights`.

    Raises:
        ValueError: There is no record.
    """
    if len(groups) == 0:
        raise ValueError("no record to resample")
    clusters = Clusters(groups)
    rows = max(1, _BLOCK // len(groups))

    def figures_of(weights: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Of rows of group weights, block by block: record weights need more memory."""
        parts = (block[start : start + rows] for block in weights for start in range(0, len(block), rows))
        return np.concatenate([statistic(part[:, clusters.index]) for part in parts])

    figures = figures_of([np.ones((1, clusters.count))])[0]
    resampled = figures_of(clusters.weight_blocks(replicates, seed))
    one_out = (1.0 - np.eye(rows, clusters.count, start) for start in range(0, clusters.count, rows))
    without = figures_of(one_out)[: clusters.count] if method == "bca" else None
    return _estimates(figures, resampled, without, clusters.count, len(groups), confidence, method)


def _estimates(
    figures: NDArray[np.float64],
    resampled: NDArray[np.float64],
    without: NDArray[np.float64] | None,
    count: int,
    n: int,
    confidence: float,
    method: Method,
) -> list[Estimate]:
    estimates = []
    for number, value in enumerate(figures.tolist()):
        if without is not None:
            interval = bca_interval(resampled[:, number], value, without[:, number], confidence)
        else:
            interval = percentile_interval(resampled[:, number], confidence, count, expanded=method == "expanded")
        estimates.append(Estimate(value, *interval, n))
    return estimates


def qwk_estimate(
    true: ArrayLike,
    predicted: ArrayLike,
    groups: Sequence[str],
    *,
    replicates: int,
    seed: int,
    confidence: float,
    method: Method = "expanded",
) -> Estimate:
    """Quadratic weighted kappa with its interval; for the arguments see `bootstrap_sums`."""
    cells = one_hot_cells(true, predicted)
    return bootstrap_sums(_kappa, cells, groups, replicates=replicates, seed=seed, confidence=confidence, method=method)


def paired_qwk_difference(
    true: ArrayLike,
    one: ArrayLike,
    other: ArrayLike,
    groups: Sequence[str],
    *,
    replicates: int,
    seed: int,
    confidence: float,
) -> Estimate:
    """Kappa of grader `one` minus that of grader `other` on the same photographs and resamplings."""
    return mean_qwk_difference(true, [one], [other], groups, replicates=replicates, seed=seed, confidence=confidence)


def mean_qwk_difference(
    true: ArrayLike,
    ones: Sequence[ArrayLike],
    others: Sequence[ArrayLike],
    groups: Sequence[str],
    *,
    replicates: int,
    seed: int,
    confidence: float,
) -> Estimate:
    """Mean kappa of several gradings minus that of as many others, on the same photographs and resamplings."""
    cells = np.concatenate([one_hot_cells(true, grading) for grading in (*ones, *others)], axis=1)

    def difference(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        kappas = kappa_of_confusions(sums.reshape(len(sums), -1, NUM_GRADES, NUM_GRADES))
        return np.asarray(kappas[:, : len(ones)].mean(axis=1) - kappas[:, len(ones) :].mean(axis=1))

    return bootstrap_sums(difference, cells, groups, replicates=replicates, seed=seed, confidence=confidence)


def one_hot_cells(true: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    """Each photograph's cell of the confusion matrix, shape (N, 25)."""
    cells = np.asarray(true, dtype=np.int64) * NUM_GRADES + np.asarray(predicted, dtype=np.int64)
    return np.asarray(np.eye(NUM_GRADES**2)[cells])


def _kappa(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return kappa_of_confusions(sums.reshape(-1, NUM_GRADES, NUM_GRADES))
