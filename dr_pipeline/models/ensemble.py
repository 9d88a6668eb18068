"""Several networks and several views of a photograph as one network, so that what ships and is timed is the whole."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from dr_pipeline.params.candidate import View
from dr_pipeline.schema import NUM_GRADES

# Turns of square pictures (N, S, S, 3), by exchanging and reversing axes: no pixel is interpolated. Counter-clockwise.
VIEWS: Mapping[View, Callable[[Tensor], Tensor]] = {
    "identity": lambda image: image,
    "mirror": lambda image: image.flip(2),
    "rotate_90": lambda image: image.transpose(1, 2).flip(1),
    "rotate_180": lambda image: image.flip(1).flip(2),
    "rotate_270": lambda image: image.transpose(1, 2).flip(2),
}

# Stacking reads logarithms: a member that is very sure and wrong must not outweigh all others.
LOG_FLOOR = -13.8  # ln 1e-6


class Combination(nn.Module, ABC):
    """From the opinions of K pairs of network and view to one; what the subclasses hold is fitted on validation.

    `forward` takes log-probabilities (N, K, 5) and gives log-probabilities (N, 5), finite, float32.
    """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What was fitted, in plain values."""


class Weighted(Combination):
    """The weighted mean of probabilities (the linear opinion pool, Stone 1961).

    Args:
        weights: K of them, not negative, with the sum 1.
    """

    weights: Tensor

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32).view(1, -1, 1))

    def forward(self, log_probabilities: Tensor) -> Tensor:
        """(N, K, 5) → (N, 5)."""
        mixed = (log_probabilities.exp() * self.weights).sum(dim=1)
        return mixed.clamp_min(torch.finfo(torch.float32).tiny).log()

    def facts(self) -> dict[str, Any]:
        """`weights`: one for each pair."""
        return {"weights": self.weights.flatten().tolist()}


class Stacked(Combination):
    """A linear map of the log-probabilities (stacked generalisation, Wolpert 1992).

    Args:
        coefficients: Shape (5, 5 · K): of each grade, on the opinions one after the other.
        intercepts: Shape (5,).
    """

    coefficients: Tensor
    intercepts: Tensor

    def __init__(self, coefficients: Tensor, intercepts: Tensor) -> None:
        super().__init__()
        self.register_buffer("coefficients", coefficients.float())
        self.register_buffer("intercepts", intercepts.float())

    def forward(self, log_probabilities: Tensor) -> Tensor:
        """(N, K, 5) → (N, 5)."""
        opinions = log_probabilities.clamp_min(LOG_FLOOR).flatten(1)
        return (opinions @ self.coefficients.T + self.intercepts).log_softmax(dim=1)

    def facts(self) -> dict[str, Any]:
        """`coefficients` and `intercepts`."""
        return {"coefficients": self.coefficients.tolist(), "intercepts": self.intercepts.tolist()}


def mean_of(opinions: int) -> Weighted:
    """The mean of so many opinions."""
    return Weighted([1 / opinions] * opinions)


class Ensemble(nn.Module):
    """Networks × views, combined.

    Args:
        graders: Each uint8 RGB (N, S, S, 3) → logits (N, 5).
        views: Names of VIEWS.
        combination: For K = len(graders) · len(views) opinions: all views of the first network, then of the second …
    """

    def __init__(self, graders: Sequence[nn.Module], views: Sequence[View], combination: Combination) -> None:
        super().__init__()
        self.members = nn.ModuleList(graders)
        self.views = tuple(views)
        self.combination = combination

    def opinions(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, S, S, 3) → log-probabilities of each network and view, (N, K, 5)."""
        # all views as one batch: each network stands in the exported graph once
        turned = torch.cat([VIEWS[view](image) for view in self.views])
        logits = torch.stack([grader(turned) for grader in self.members])
        apart = logits.reshape(len(self.members) * len(self.views), -1, NUM_GRADES)
        return apart.transpose(0, 1).log_softmax(dim=2)

    def forward(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, S, S, 3) → log-probabilities (N, 5), which stand for logits."""
        return cast("Tensor", self.combination(self.opinions(image)))


def deployed(graders: Sequence[nn.Module], views: Sequence[View], combination: Combination) -> nn.Module:
    """The network to export: one that sees the photograph as it is stays itself, anything more is an Ensemble."""
    if len(graders) == 1 and tuple(views) == ("identity",):
        return graders[0]
    return Ensemble(graders, views, combination)


def member_tensors(graders: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Named tensors of weights.safetensors: a grader's own, or, of several, those of each after `members.NUMBER.`."""
    if len(graders) == 1:
        return dict(graders[0].state_dict())
    return {
        f"members.{number}.{name}": tensor
        for number, grader in enumerate(graders)
        for name, tensor in grader.state_dict().items()
    }
