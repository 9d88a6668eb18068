"""Uncertainty of a grade, and what remains wrong where the most uncertain photographs go to a human reader."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def entropy(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Shannon entropy of each row of (N, K) in nats, shape (N,): 0 … log K."""
    positive = np.where(probabilities > 0, probabilities, 1.0)
    return np.asarray(-(probabilities * np.log(positive)).sum(axis=1))


def risk_coverage(
    uncertainty: NDArray[np.float64], losses: NDArray[Any], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean loss of the most certain photographs, for every number of them (El-Yaniv and Wiener, JMLR 2010;11:1605).

    Equally uncertain photographs each get their mean loss, so that their order does not matter.

    Args:
        uncertainty: Shape (N,), N ≥ 1.
        losses: Such as 1 for a wrong grade, shape (N,).
        weights: How often each counts, shape (R, N), no row without any.

    Returns:
        Coverage, the fraction of photographs kept, and risk, the mean loss among them; each (R, N), certain ones first.
    """
    order = np.argsort(uncertainty, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(uncertainty[order]) > 0]))
    counts = weights[:, order]
    of_run = np.add.reduceat(counts, starts, axis=1)
    loss_of_run = np.add.reduceat(counts * np.asarray(losses, dtype=np.float64)[order], starts, axis=1)
    mean_of_run = np.divide(loss_of_run, of_run, out=np.zeros_like(of_run), where=of_run > 0)
    kept = np.cumsum(counts, axis=1)
    lost = np.cumsum(counts * np.repeat(mean_of_run, np.diff(starts, append=len(order)), axis=1), axis=1)
    return kept / kept[:, -1:], np.divide(lost, kept, out=np.zeros_like(lost), where=kept > 0)


def area_under_risk_coverage(coverage: NDArray[np.float64], risk: NDArray[np.float64]) -> NDArray[np.float64]:
    """AURC, shape (R,): the risk, averaged over coverage (Geifman and El-Yaniv, ICLR 2019).

    It is the mean loss where the uncertainty says nothing, and lower the better it finds the errors.

    Args:
        coverage: Of `risk_coverage`, shape (R, N).
        risk: The same.
    """
    return np.asarray((risk * np.diff(coverage, axis=1, prepend=0.0)).sum(axis=1))
