"""Fits the weights of an ensemble's members, on validation photographs."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dr_pipeline.models.ensemble import LOG_FLOOR, Combination, Stacked, Weighted
from dr_pipeline.schema import NUM_GRADES

Combine = Literal["mean", "weighted", "stacked", "soup"]

# Of half the coefficients' squared distances from the mean of log-probabilities, against the sum of log losses. In a
# simulation with three members the least log loss on new photographs lay at 30 to 300 after fitting on 126 photographs,
# at 30 to 100 after 1,000; with 30 and less on 126 of equally good members it was worse than the plain mean's.
_SHRINKAGE = 100.0
_MAX_ROUNDS = 10_000


def fit_ensemble(combine: Combine, member_log_probs: NDArray[np.float32], grades: NDArray[np.int64]) -> Combination:
    """The combination with the least log loss of its kind.

    Args:
        combine: `mean` and `soup` have nothing to fit.
        member_log_probs: Shape (N, K, 5).
        grades: True grades, shape (N,).
    """
    if combine == "weighted":
        return Weighted(_fit_weights(member_log_probs, grades).tolist())
    if combine == "stacked":
        return _fit_stacked(member_log_probs, grades)
    return Weighted.uniform(member_log_probs.shape[1])


def cross_fit_ensemble(
    combine: Combine, member_log_probs: NDArray[np.float32], grades: NDArray[np.int64], parts: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Log-probabilities (N, 5) of each photograph by an ensemble fitted on the other parts.

    Args:
        combine: See `fit_ensemble`.
        member_log_probs: Shape (N, K, 5).
        grades: True grades, shape (N,).
        parts: The part of each photograph, shape (N,); whole groups in one.
    """
    combined = np.zeros((len(grades), NUM_GRADES), dtype=np.float32)
    for part in np.unique(parts).tolist():
        held_out, rest = parts == part, parts != part
        rest = rest if rest.any() else held_out  # one group in all: nothing else to fit on
        fitted = fit_ensemble(combine, member_log_probs[rest], grades[rest])
        combined[held_out] = fitted(torch.from_numpy(member_log_probs[held_out])).numpy()
    return combined


def _fit_weights(member_log_probs: NDArray[np.float32], grades: NDArray[np.int64]) -> NDArray[np.float64]:
    """Expectation-maximisation of a mixture's shares (Dempster, Laird & Rubin 1977): the log loss falls each round.

    The log loss is convex in the weights, so that the rounds end at its minimum.
    """
    likelihood = np.exp(member_log_probs[np.arange(len(grades)), :, grades].astype(np.float64))
    likelihood = np.maximum(likelihood, np.exp(LOG_FLOOR))
    weights: NDArray[Any] = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    for _ in range(_MAX_ROUNDS):
        joint = likelihood * weights
        updated = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
        change, weights = np.abs(updated - weights).max(), updated
        if change < 1e-9:
            break
    return np.asarray(weights / weights.sum())


def _fit_stacked(member_log_probs: NDArray[np.float32], grades: NDArray[np.int64]) -> Stacked:
    """Multinomial logistic regression on log-probabilities, shrunk towards their mean; convex, so with one minimum."""
    features = torch.from_numpy(member_log_probs).double().clamp_min(LOG_FLOOR).flatten(1)
    true = torch.from_numpy(grades)
    mean = torch.eye(NUM_GRADES, dtype=torch.float64).repeat(1, member_log_probs.shape[1]) / member_log_probs.shape[1]
    departure = torch.zeros_like(mean, requires_grad=True)
    intercepts = torch.zeros(NUM_GRADES, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [departure, intercepts],
        max_iter=500,
        tolerance_grad=1e-7,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        logits = features @ (mean + departure).T + intercepts
        penalty = _SHRINKAGE / 2 * (departure.square().sum() + intercepts.square().sum())
        value = functional.cross_entropy(logits, true, reduction="sum") + penalty
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return Stacked((mean + departure).detach(), intercepts.detach())
