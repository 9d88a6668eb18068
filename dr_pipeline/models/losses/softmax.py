"""Losses on a softmax over the five grades: cross-entropy, focal loss, soft ordinal targets, soft kappa."""

from typing import cast

import torch
from torch import Tensor, nn

from dr_pipeline.models.losses.loss import Head, Loss, at_least_float32
from dr_pipeline.schema import GRADES

# Of 1 - p in the focal loss: its power has no finite slope at 0 where gamma is below 1.
_MIN_UNCERTAINTY = torch.finfo(torch.float32).eps
# Keeps the soft kappa from being 0 / 0 where all are of one grade and predicted alike, or all weights are 0.
_MIN_CHANCE = 1e-6


class SoftmaxHead(Head):
    """The outputs are the logits."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Outputs (N, 5) → logits (N, 5)."""
        return at_least_float32(outputs)


class CrossEntropy(Loss):
    """Cross-entropy: grade k costs -log p_k."""

    @staticmethod
    def make_head() -> Head:
        """Returns a new head for this loss."""
        return SoftmaxHead()

    def costs(self, head: nn.Module, outputs: Tensor) -> Tensor:
        """-log p_k, (N, 5)."""
        return -cast("Tensor", head(outputs)).log_softmax(dim=1)


class Focal(CrossEntropy):
    """Focal loss (Lin et al., ICCV 2017): grade k costs -(1 - p_k)^focal_gamma log p_k."""

    def costs(self, head: nn.Module, outputs: Tensor) -> Tensor:
        """-(1 - p_k)^focal_gamma log p_k, (N, 5)."""
        log_probabilities = cast("Tensor", head(outputs)).log_softmax(dim=1)
        uncertainty = (1 - log_probabilities.exp()).clamp(min=_MIN_UNCERTAINTY)
        return -(uncertainty**self.params.focal_gamma) * log_probabilities


class SoftOrdinal(CrossEntropy):
    """Cross-entropy against targets that fall off with the distance from the grade (Díaz and Marathe, CVPR 2019).

    The target of grade k has softmax(-(k - j)² / ordinal_width) for grade j: with a width of 1, 0.73 for a grade at an
    end of the scale and 0.27 for its neighbour.
    """

    def costs(self, head: nn.Module, outputs: Tensor) -> Tensor:
        """Cross-entropy of each grade's target, (N, 5)."""
        log_probabilities = cast("Tensor", head(outputs)).log_softmax(dim=1)
        levels = torch.tensor(GRADES, dtype=log_probabilities.dtype, device=log_probabilities.device)
        targets = (-((levels[:, None] - levels[None, :]) ** 2) / self.params.ordinal_width).softmax(dim=1)
        # a sum of products, not a matrix product, which mixed precision would round to bfloat16
        return -(log_probabilities[:, None, :] * targets).sum(dim=2)


class SoftKappa(CrossEntropy):
    """`kappa_share` of 1 - quadratic weighted kappa, computed from probabilities; the rest is cross-entropy.

    After de La Torre et al., Pattern Recognition Letters 2018;105:144. Label smoothing applies to the cross-entropy
    only. The kappa is not additive over photographs: it is that of the photographs given at once, times their weight.
    """

    def total(
        self, head: nn.Module, outputs: Tensor, distributions: Tensor, smoothed: Tensor, grade_weights: Tensor
    ) -> Tensor:
        """See `Loss.total`."""
        total = super().total(head, outputs, distributions, smoothed, grade_weights)
        weighted = distributions * grade_weights
        kappa_total = weighted.sum() * _kappa_loss(head(outputs), weighted)
        return self.params.kappa_share * kappa_total + (1 - self.params.kappa_share) * total


def _kappa_loss(logits: Tensor, weighted_targets: Tensor) -> Tensor:
    """1 - quadratic weighted kappa of probabilities against weighted target distributions, both (N, 5)."""
    # sums of products, not matrix products, which mixed precision would round to bfloat16
    confusion = (weighted_targets[:, :, None] * logits.softmax(dim=1)[:, None, :]).sum(dim=0)
    confusion = confusion / confusion.sum().clamp(min=_MIN_CHANCE)
    levels = torch.tensor(GRADES, dtype=confusion.dtype, device=confusion.device)
    disagreement = (levels[:, None] - levels[None, :]) ** 2
    observed = (disagreement * confusion).sum()
    by_chance = (disagreement * confusion.sum(dim=1)[:, None] * confusion.sum(dim=0)[None, :]).sum()
    return observed / (by_chance + _MIN_CHANCE)
