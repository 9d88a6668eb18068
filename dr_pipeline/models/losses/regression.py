"""The grade as one number on a continuous scale."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dr_pipeline.models.losses.loss import Head, Loss, at_least_float32
from dr_pipeline.schema import GRADES


class RegressionHead(Head):
    """The output y is a grade on a continuous scale; the logit of grade k is -(y - k)².

    These are the logarithms of normal densities around y. The temperature, fitted on validation, sets their width. The
    expected grade rises with y, so that cut points fitted on it are cut points on y.
    """

    grades: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grades", torch.tensor(GRADES, dtype=torch.float32), persistent=False)

    def initialise(self, grades: Sequence[int]) -> float:
        """Starts at the mean of the training grades."""
        return float(np.mean(grades))

    def forward(self, outputs: Tensor) -> Tensor:
        """Outputs (N, 1) → logits (N, 5)."""
        return -((at_least_float32(outputs) - self.grades) ** 2)


class Regression(Loss):
    """Squared error: grade k costs (y - k)²."""

    num_outputs = 1

    @staticmethod
    def make_head() -> Head:
        """Returns a new head for this loss."""
        return RegressionHead()

    def costs(self, head: nn.Module, outputs: Tensor) -> Tensor:
        """(y - k)², (N, 5)."""
        return -cast("Tensor", head(outputs))  # the logits are the negative squared errors
