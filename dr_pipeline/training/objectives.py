"""What is minimised: a network's outputs against grades, or against distributions over grades."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dr_pipeline.models.heads import CoralHead
from dr_pipeline.params.training import Objective
from dr_pipeline.schema import GRADES, NUM_GRADES

# Of 1 - p in the focal loss: its power has no finite slope at 0 where gamma is below 1.
_LEAST_DOUBT = torch.finfo(torch.float32).eps
# Keeps the soft kappa from being 0 / 0 where all are of one grade and predicted alike, or none has a weight.
_LEAST_CHANCE = 1e-6


class GradingLoss(nn.Module):
    """The loss of photographs under one objective.

    Every loss but the kappa is a cost of each grade as if it were the true one. The cost of a photograph is the sum
    over grades of target share, grade weight and cost: for one grade it is the usual loss, for a distribution its
    mean. `label_smoothing` takes its share of each target and spreads it over the five grades, as
    `nn.CrossEntropyLoss` does (Szegedy et al., CVPR 2016).

    - cross_entropy: -log p_k.
    - focal: -(1 - p_k)^gamma log p_k (Lin et al., ICCV 2017).
    - regression: (y - k)².
    - corn: the binary cross-entropies of the conditional questions that grade k answers (Shi et al. 2021). They add
      up to -log p_k. The paper divides by the number of questions, here each photograph counts once.
    - coral: the binary cross-entropies of the four questions "above grade j?" (Cao et al. 2020).
    - soft_kappa: `kappa_share` of 1 - quadratic weighted kappa with probabilities for counts (de La Torre et al.,
      Pattern Recognition Letters 2018;105:144), the rest cross-entropy. Smoothing concerns the cross-entropy only.

    Args:
        params: Which loss, and its numbers.
        grade_weights: Shape (5,), see `training.balance`.
    """

    grade_weights: Tensor

    def __init__(self, params: Objective, grade_weights: Tensor) -> None:
        super().__init__()
        self._params = params
        self.register_buffer("grade_weights", grade_weights, persistent=False)

    def total(self, head: nn.Module, outputs: Tensor, targets: Tensor) -> Tensor:
        """Weighted sum of the photographs' losses; `total / weight` is the mean loss.

        It is additive over photographs, so that a batch may be computed in parts or on several devices. The soft kappa
        is not: it is the kappa of the photographs given here, times their weight.

        Args:
            head: `make_head(loss)`; CORAL's holds what it learns.
            outputs: (N, num_outputs(loss)) of any floating type.
            targets: long (N,) grades, or float (N, 5) distributions.

        Returns:
            A scalar, float32 or float64.

        Raises:
            ValueError: The targets have another shape.
        """
        shares = _distributions(targets)
        smoothing = self._params.label_smoothing
        smoothed = (1 - smoothing) * shares + smoothing / NUM_GRADES
        total = (smoothed * self.grade_weights * self._costs(head, outputs)).sum()
        if self._params.loss != "soft_kappa":
            return total
        kappa_total = self.weight(targets) * _kappa_loss(head(outputs), shares * self.grade_weights)
        return self._params.kappa_share * kappa_total + (1 - self._params.kappa_share) * total

    def weight(self, targets: Tensor) -> Tensor:
        """Sum of the photographs' weights, a scalar: each has the mean of the grade weights under its target."""
        return (_distributions(targets) * self.grade_weights).sum()

    def _costs(self, head: nn.Module, outputs: Tensor) -> Tensor:
        """What each photograph would cost if its grade were k, (N, 5)."""
        if self._params.loss == "regression":
            return -cast("Tensor", head(outputs))  # the head's logits are the squared errors, negative
        if self._params.loss == "coral":
            cumulative = cast("CoralHead", head).cumulative(outputs)
            missed, overrated = functional.softplus(-cumulative), functional.softplus(cumulative)
            # grade k is above grades 0 … k - 1 and not above k … 3
            return _sums_before(missed) + _sums_before(overrated.flip(1)).flip(1)
        log_probabilities = cast("Tensor", head(outputs)).log_softmax(dim=1)
        if self._params.loss == "focal":
            doubt = (1 - log_probabilities.exp()).clamp(min=_LEAST_DOUBT)
            return -(doubt**self._params.focal_gamma) * log_probabilities
        return -log_probabilities


def _distributions(targets: Tensor) -> Tensor:
    """Grades (N,) or distributions (N, 5) as distributions (N, 5)."""
    if targets.dtype == torch.long and targets.ndim == 1:
        return functional.one_hot(targets, NUM_GRADES).float()
    if targets.is_floating_point() and targets.ndim == 2 and targets.shape[1] == NUM_GRADES:
        return targets
    raise ValueError(
        f"targets must be grades, long (N,), or distributions, float (N, {NUM_GRADES}); "
        f"found {targets.dtype} of shape {tuple(targets.shape)}"
    )


def _sums_before(terms: Tensor) -> Tensor:
    """(N, 4) → (N, 5): the sum of the first k terms, k = 0 … 4."""
    return functional.pad(terms.cumsum(dim=1), (1, 0))


def _kappa_loss(logits: Tensor, weighted_shares: Tensor) -> Tensor:
    """1 - quadratic weighted kappa of probabilities against weighted target shares, both (N, 5)."""
    # sums of products, not matrix products, which mixed precision would round to bfloat16
    confusion = (weighted_shares[:, :, None] * logits.softmax(dim=1)[:, None, :]).sum(dim=0)
    confusion = confusion / confusion.sum().clamp(min=_LEAST_CHANCE)
    levels = torch.tensor(GRADES, dtype=confusion.dtype, device=confusion.device)
    disagreement = (levels[:, None] - levels[None, :]) ** 2
    observed = (disagreement * confusion).sum()
    by_chance = (disagreement * confusion.sum(dim=1)[:, None] * confusion.sum(dim=0)[None, :]).sum()
    return observed / (by_chance + _LEAST_CHANCE)
