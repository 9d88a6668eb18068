"""The class shares of photographs without labels, from a classifier's probabilities (Saerens et al. 2002)."""

import numpy as np
from numpy.typing import NDArray

_MAX_ROUNDS = 10_000
_CONVERGED = 1e-9


def class_shares(probabilities: NDArray[np.float64], source_shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shares under which the photographs are most likely, by EM (Saerens et al., Neural Computation 2002;14:21).

    Right only where the classes look as they did and are graded as they were, so that their shares alone differ, and
    where the probabilities were calibrated under `source_shares`. Nothing in unlabelled photographs can show either.

    Args:
        probabilities: Calibrated under `source_shares`, shape (N, K), N ≥ 1.
        source_shares: Of the classes where the probabilities were calibrated, shape (K,), which sum to 1. A class
            without a share stays without one.

    Returns:
        Shape (K,), which sum to 1.

    Raises:
        ValueError: There is no photograph.
    """
    if not len(probabilities):
        raise ValueError("no photograph to estimate class shares from")
    shares = np.asarray(source_shares, dtype=np.float64)
    for _ in range(_MAX_ROUNDS):
        following = corrected(probabilities, source_shares, shares).mean(axis=0)
        if np.abs(following - shares).max() < _CONVERGED:
            break
        shares = following
    return np.asarray(following)


def corrected(
    probabilities: NDArray[np.float64], source_shares: NDArray[np.float64], target_shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The probabilities, (N, K), where the classes have other shares: Bayes' rule with the new prior."""
    ratio = np.divide(target_shares, source_shares, out=np.zeros_like(target_shares), where=source_shares > 0)
    weighted = probabilities * ratio
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))
