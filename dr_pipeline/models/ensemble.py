"""Several networks and several views of a photograph combined into one network, exported and timed as a whole."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from dr_pipeline.models.grader import Grader
from dr_pipeline.params.candidate import View
from dr_pipeline.schema import NUM_GRADES

# Rotations (counter-clockwise) and the mirror image of square images (N, S, S, 3), without interpolation.
VIEWS: Mapping[View, Callable[[Tensor], Tensor]] = {
    "identity": lambda image: image,
    "mirror": lambda image: image.flip(2),
    "rotate_90": lambda image: image.transpose(1, 2).flip(1),
    "rotate_180": lambda image: image.flip(1).flip(2),
    "rotate_270": lambda image: image.transpose(1, 2).flip(2),
}

# Stacking is linear in logarithms: the floor keeps one confident but wrong member from outweighing all others.
LOG_FLOOR = -13.8  # ln 1e-6


class Combination(nn.Module, ABC):
    """Combines the predictions of K pairs of network and view; the subclasses hold what is fitted on validation.

    `forward` maps log-probabilities (N, K, 5) to log-probabilities (N, 5), finite, float32.
    """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The fitted values, for JSON."""


class Weighted(Combination):
    """The weighted mean of probabilities (linear opinion pool, Stone 1961).

    Args:
        weights: K of them, not negative, with the sum 1.
    """

    weights: Tensor

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32).view(1, -1, 1))

    @classmethod
    def uniform(cls, count: int) -> Self:
        """The unweighted mean of `count` predictions."""
        return cls([1 / count] * count)

    def forward(self, log_probs: Tensor) -> Tensor:
        """(N, K, 5) → (N, 5)."""
        mean = (log_probs.exp() * self.weights).sum(dim=1)
        return mean.clamp_min(torch.finfo(torch.float32).tiny).log()

    def to_dict(self) -> dict[str, Any]:
        """`weights`: one for each pair of network and view."""
        return {"weights": self.weights.flatten().tolist()}


class Stacked(Combination):
    """A linear map of the log-probabilities (stacked generalisation, Wolpert 1992).

    Args:
        coefficients: Shape (5, 5 · K): of each grade, on the K predictions one after the other.
        intercepts: Shape (5,).
    """

    coefficients: Tensor
    intercepts: Tensor

    def __init__(self, coefficients: Tensor, intercepts: Tensor) -> None:
        super().__init__()
        self.register_buffer("coefficients", coefficients.float())
        self.register_buffer("intercepts", intercepts.float())

    def forward(self, log_probs: Tensor) -> Tensor:
        """(N, K, 5) → (N, 5)."""
        features = log_probs.clamp_min(LOG_FLOOR).flatten(1)
        return (features @ self.coefficients.T + self.intercepts).log_softmax(dim=1)

    def to_dict(self) -> dict[str, Any]:
        """`coefficients` and `intercepts`."""
        return {"coefficients": self.coefficients.tolist(), "intercepts": self.intercepts.tolist()}


def combination_from_dict(combine: str, fitted: Mapping[str, Any], count: int) -> Combination:
    """The combination that an export describes.

    Args:
        combine: As in params.yaml.
        fitted: From `Combination.to_dict`; empty where nothing is fitted.
        count: Number of pairs of network and view.
    """
    if combine == "stacked":
        return Stacked(torch.tensor(fitted["coefficients"]), torch.tensor(fitted["intercepts"]))
    return Weighted(fitted["weights"]) if combine == "weighted" else Weighted.uniform(count)


class Ensemble(nn.Module):
    """Networks × views, combined.

    Args:
        graders: Each uint8 RGB (N, S, S, 3) → logits (N, 5).
        views: Keys of VIEWS.
        combination: For K = len(graders) · len(views) predictions: all views of the first network, then of the second …
    """

    def __init__(self, graders: Sequence[nn.Module], views: Sequence[View], combination: Combination) -> None:
        super().__init__()
        self.members = nn.ModuleList(graders)
        self.views = tuple(views)
        self.combination = combination

    def member_log_probs(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, S, S, 3) → log-probabilities of each network and view, (N, K, 5)."""
        # all views in one batch, so that each network appears once in the exported graph
        views = torch.cat([VIEWS[view](image) for view in self.views])
        logits = torch.stack([grader(views) for grader in self.members])
        by_pair = logits.reshape(len(self.members) * len(self.views), -1, NUM_GRADES)
        return by_pair.transpose(0, 1).log_softmax(dim=2)

    def forward(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, S, S, 3) → log-probabilities (N, 5), used as logits."""
        return cast("Tensor", self.combination(self.member_log_probs(image)))


class EnsembleGrader(nn.Module):
    """An ensemble with the interface of a Grader: its outputs are combined, and no head follows."""

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        self.ensemble, self.head = ensemble, nn.Identity()

    def outputs(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, S, S, 3) → log-probabilities (N, 5)."""
        return cast("Tensor", self.ensemble(image))


def deployed_network(graders: Sequence[nn.Module], views: Sequence[View], combination: Combination) -> nn.Module:
    """The network to export: a single grader on the unchanged photograph as it is, anything else as an Ensemble."""
    if len(graders) == 1 and tuple(views) == ("identity",):
        return graders[0]
    return Ensemble(graders, views, combination)


def soup(graders: Sequence[Grader]) -> Grader:
    """One network with the mean of the networks' weights and statistics (Wortsman et al., ICML 2022).

    Args:
        graders: Of one architecture, in evaluation mode, trained from the same first weights.
    """
    states = [grader.state_dict() for grader in graders]
    mixed = copy.deepcopy(graders[0])
    mixed.load_state_dict(
        {
            name: torch.stack([state[name] for state in states]).mean(dim=0) if first.is_floating_point() else first
            for name, first in states[0].items()
        }
    )
    return mixed


def ensemble_state_dict(graders: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Content of weights.safetensors: a single grader's state dict, or several with the prefix `members.INDEX.`."""
    return join_state_dicts([grader.state_dict() for grader in graders])


def join_state_dicts(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """One state dict as it is, or several with the prefix `members.INDEX.`."""
    if len(states) == 1:
        return dict(states[0])
    return {f"members.{index}.{name}": tensor for index, state in enumerate(states) for name, tensor in state.items()}


def split_state_dict(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The state dict of each grader, from what `ensemble_state_dict` joined."""
    states: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("members."):
            _, index, rest = name.split(".", 2)
            states.setdefault(index, {})[rest] = tensor
    return [states[index] for index in sorted(states, key=int)] or [dict(tensors)]
