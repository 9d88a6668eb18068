"""Net benefit: whether referring by a model does more good than referring everybody or nobody.

Vickers and Elkin, Medical Decision Making 2006;26:565. At a threshold probability t one missed disease weighs as much
as (1 - t) / t unnecessary referrals.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def net_benefit_terms(
    probabilities: NDArray[Any], positive: NDArray[np.bool_], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What each photograph adds to the net benefit at each threshold, shape (N, T); the net benefit is the mean.

    Args:
        probabilities: Of the disease, calibrated, shape (N,).
        positive: Whether it is there, shape (N,).
        thresholds: Each in 0 … 1, without 1, shape (T,).
    """
    referred = probabilities[:, None] >= thresholds[None, :]
    return np.asarray(np.where(positive[:, None], 1.0, -_harm(thresholds)[None, :]) * referred)


def net_benefit_of_all(prevalence: float, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The net benefit of referring everybody, shape (T,); that of referring nobody is 0."""
    return np.asarray(prevalence - (1 - prevalence) * _harm(thresholds))


def _harm(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(thresholds / (1 - thresholds))
