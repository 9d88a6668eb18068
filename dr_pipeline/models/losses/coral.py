"""CORAL: ordinal regression by cumulative probabilities with shared weights (Cao et al. 2020)."""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dr_pipeline.models.losses.loss import Head, Loss, at_least_float32, log_sigmoid
from dr_pipeline.schema import GRADES, NUM_GRADES

# Two neighbouring biases stay this far apart, so that the grade between them keeps a finite logarithm.
MIN_GAP = 0.01


class CoralHead(Head):
    """The output plus four trained biases are the logits of P(grade > k), k = 0 … 3.

    Cao, Mirjalili & Raschka, Pattern Recognition Letters 2020;140:325 prove that the optimal biases descend, but do not
    constrain them. Here they always descend, by at least MIN_GAP: the first bias is a parameter, each other one is
    parametrised by the softplus of its distance from the one before. Until `set_biases` all grades are equally probable
    for the output 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first_bias = nn.Parameter(torch.empty(1))
        self.raw_gaps = nn.Parameter(torch.empty(len(GRADES) - 2))
        exceeded = [1 - grade / NUM_GRADES for grade in GRADES[1:]]  # P(grade > k) of equally probable grades
        self.set_biases([math.log(probability / (1 - probability)) for probability in exceeded])

    @torch.no_grad()
    def set_biases(self, biases: Sequence[float]) -> None:
        """Takes four logits of P(grade > k) for the output 0; gaps of less than 2 × MIN_GAP are widened to it."""
        steps = torch.tensor(biases, dtype=torch.float32)
        gaps = (steps[:-1] - steps[1:] - MIN_GAP).clamp_min(MIN_GAP)
        self.first_bias.copy_(steps[:1])
        self.raw_gaps.copy_(torch.log(torch.expm1(gaps)))

    def initialise(self, grades: Sequence[int]) -> float:
        """Starts at the frequencies of the training grades.

        Each grade counts once more than it occurs (Laplace's rule of succession), so that an absent one has a finite
        logit.
        """
        frequencies = (np.bincount(grades, minlength=NUM_GRADES) + 1) / (len(grades) + NUM_GRADES)
        exceeded = 1 - np.cumsum(frequencies)[:-1]
        self.set_biases([math.log(probability / (1 - probability)) for probability in exceeded.tolist()])
        return 0.0

    def cumulative(self, outputs: Tensor) -> Tensor:
        """Outputs (N, 1) → logits of P(grade > k) (N, 4), descending with k."""
        falls = functional.pad(self._gaps().cumsum(dim=0), (1, 0))
        return at_least_float32(outputs) + self.first_bias - falls

    def forward(self, outputs: Tensor) -> Tensor:
        """Outputs (N, 1) → logarithms of the differences of cumulative probabilities (N, 5)."""
        cumulative = self.cumulative(outputs)
        above, not_above = log_sigmoid(cumulative), log_sigmoid(-cumulative)
        # σ(a) - σ(b) = σ(a) σ(-b) (1 - e^(b - a)): no difference of nearly equal numbers
        between = above[:, :-1] + not_above[:, 1:] + torch.log(-torch.expm1(-self._gaps()))
        return torch.cat([not_above[:, :1], between, above[:, -1:]], dim=1)

    def _gaps(self) -> Tensor:
        return functional.softplus(self.raw_gaps) + MIN_GAP


class Coral(Loss):
    """The sum of four binary cross-entropies, one for each "grade > j?"."""

    num_outputs = 1

    @staticmethod
    def make_head() -> Head:
        """Returns a new head for this loss."""
        return CoralHead()

    def costs(self, head: nn.Module, outputs: Tensor) -> Tensor:
        """See `Loss.costs`."""
        cumulative = cast("CoralHead", head).cumulative(outputs)
        missed, overrated = functional.softplus(-cumulative), functional.softplus(cumulative)
        # grade k is above grades 0 … k - 1 and not above k … 3
        return _prefix_sums(missed) + _prefix_sums(overrated.flip(1)).flip(1)


def _prefix_sums(terms: Tensor) -> Tensor:
    """(N, 4) → (N, 5): the sum of the first k terms, k = 0 … 4."""
    return functional.pad(terms.cumsum(dim=1), (1, 0))
