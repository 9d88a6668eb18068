"""Base classes of the losses and of their heads."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dr_pipeline.schema import NUM_GRADES

if TYPE_CHECKING:  # params.training imports the registry of the losses, not this module
    from dr_pipeline.params.training import Objective


class Head(nn.Module):
    """Maps the outputs of a network, (N, Loss.num_outputs), to logits of the five grades, (N, 5).

    The softmax of the logits gives the probabilities of the grades for every loss, so that the deployed graph, its
    temperature and its cut points are the same for all. Logits are at least float32, whatever the outputs are, and
    finite for outputs up to ±10 000.
    """

    def initialise(self, grades: Sequence[int]) -> float:
        """Sets the head's own parameters to the class prior.

        Args:
            grades: Of the training photographs, at least one.

        Returns:
            The bias with which the layer before the head starts.
        """
        del grades
        return 0.0


class Loss(ABC):
    """One training loss.

    Attributes:
        num_outputs: Numbers that a network computes for a photograph under this loss.
        params: The section `training.objective`.
    """

    num_outputs: ClassVar[int] = NUM_GRADES

    def __init__(self, params: "Objective") -> None:
        self.params = params

    @staticmethod
    @abstractmethod
    def make_head() -> Head:
        """Returns a new head for this loss."""

    @abstractmethod
    def costs(self, head: nn.Module, outputs: Tensor) -> Tensor:
        """Cost of each photograph for each grade as its true grade.

        Args:
            head: From `make_head`; may hold trained parameters.
            outputs: (N, num_outputs) of any floating type.

        Returns:
            (N, 5), float32 or float64.
        """

    def total(
        self, head: nn.Module, outputs: Tensor, distributions: Tensor, smoothed: Tensor, grade_weights: Tensor
    ) -> Tensor:
        """Weighted sum of the photographs' costs, a scalar.

        Args:
            head: See `costs`.
            outputs: See `costs`.
            distributions: (N, 5), the targets.
            smoothed: (N, 5), the same with label smoothing.
            grade_weights: (5,), see `training.balance`.
        """
        del distributions
        return (smoothed * grade_weights * self.costs(head, outputs)).sum()


def at_least_float32(outputs: Tensor) -> Tensor:
    """Casts half precision to float32; float32 and float64 stay."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))


def log_sigmoid(logits: Tensor) -> Tensor:
    """Logarithm of the sigmoid, stable in ONNX too."""
    # not functional.logsigmoid: its ONNX form is log(sigmoid(x)), which is -inf for x of -100
    return -functional.softplus(-logits)
