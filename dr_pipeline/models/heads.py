"""From a network's outputs to logits of the five grades, one head for each kind of loss."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dr_pipeline.params.training import Loss
from dr_pipeline.schema import GRADES, NUM_GRADES

_NUM_OUTPUTS: dict[Loss, int] = {
    "cross_entropy": NUM_GRADES,
    "focal": NUM_GRADES,
    "soft_kappa": NUM_GRADES,
    "corn": NUM_GRADES - 1,
    "coral": 1,
    "regression": 1,
}

# Two neighbouring CORAL biases stay this far apart, so that the grade between them keeps a finite logarithm.
MIN_GAP = 0.01


def num_outputs(loss: Loss) -> int:
    """How many numbers a network gives for a photograph under this loss."""
    return _NUM_OUTPUTS[loss]


def make_head(loss: Loss) -> nn.Module:
    """The head of a loss: outputs (N, num_outputs(loss)) → logits (N, 5).

    The softmax of the logits are the grades' probabilities for every loss, so that the deployed graph, its
    temperature and its cut points are the same for all. Logits are at least float32, whatever the outputs are, and
    finite for outputs up to ±10 000.
    """
    if loss == "regression":
        return RegressionHead()
    if loss == "corn":
        return CornHead()
    if loss == "coral":
        return CoralHead()
    return SoftmaxHead()


class SoftmaxHead(nn.Module):
    """The outputs are the logits."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Outputs (N, 5) → logits (N, 5)."""
        return _precise(outputs)


class RegressionHead(nn.Module):
    """The output y is a grade on a continuous scale; the logit of grade k is -(y - k)².

    These are the logarithms of normal densities around y. The temperature, fitted on validation, sets their width. The
    expected grade rises with y, so that cut points fitted on it are cut points on y.
    """

    grades: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grades", torch.tensor(GRADES, dtype=torch.float32), persistent=False)

    def forward(self, outputs: Tensor) -> Tensor:
        """Outputs (N, 1) → logits (N, 5)."""
        return -((_precise(outputs) - self.grades) ** 2)


class CornHead(nn.Module):
    """Output k is the logit of P(grade > k | grade ≥ k), as CORN has it (Shi, Cao & Raschka, arXiv:2111.08851)."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Outputs (N, 4) → logarithms of the products of conditional probabilities (N, 5)."""
        outputs = _precise(outputs)
        reached = functional.pad(_log_sigmoid(outputs).cumsum(dim=1), (1, 0))  # log P(grade ≥ k), k = 0 … 4
        stopped = functional.pad(_log_sigmoid(-outputs), (0, 1))  # log P(grade = k | grade ≥ k); 0 for the last grade
        return reached + stopped


class CoralHead(nn.Module):
    """The output plus four learned biases are the logits of P(grade > k), k = 0 … 3 (CORAL: Cao et al. 2020).

    Cao, Mirjalili & Raschka, Pattern Recognition Letters 2020;140:325 prove that the best biases descend, but leave
    them free on the way. Here they always descend, by at least MIN_GAP: the first bias is learned as it is, each other
    one as the softplus by which it is lower. Until `set_biases` all grades are equally probable for the output 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first_bias = nn.Parameter(torch.empty(1))
        self.raw_gaps = nn.Parameter(torch.empty(len(GRADES) - 2))
        exceeded = [1 - grade / NUM_GRADES for grade in GRADES[1:]]  # P(grade > k) of equally probable grades
        self.set_biases([math.log(share / (1 - share)) for share in exceeded])

    @torch.no_grad()
    def set_biases(self, biases: Sequence[float]) -> None:
        """Takes four logits of P(grade > k) for the output 0; falls of less than 2 × MIN_GAP are widened to it."""
        steps = torch.tensor(biases, dtype=torch.float32)
        gaps = (steps[:-1] - steps[1:] - MIN_GAP).clamp_min(MIN_GAP)
        self.first_bias.copy_(steps[:1])
        self.raw_gaps.copy_(torch.log(torch.expm1(gaps)))

    def cumulative(self, outputs: Tensor) -> Tensor:
        """Outputs (N, 1) → logits of P(grade > k) (N, 4), descending with k."""
        falls = functional.pad(self._gaps().cumsum(dim=0), (1, 0))
        return _precise(outputs) + self.first_bias - falls

    def forward(self, outputs: Tensor) -> Tensor:
        """Outputs (N, 1) → logarithms of the differences of cumulative probabilities (N, 5)."""
        cumulative = self.cumulative(outputs)
        above, not_above = _log_sigmoid(cumulative), _log_sigmoid(-cumulative)
        # σ(a) - σ(b) = σ(a) σ(-b) (1 - e^(b - a)): no difference of nearly equal numbers
        between = above[:, :-1] + not_above[:, 1:] + torch.log(-torch.expm1(-self._gaps()))
        return torch.cat([not_above[:, :1], between, above[:, -1:]], dim=1)

    def _gaps(self) -> Tensor:
        return functional.softplus(self.raw_gaps) + MIN_GAP


def _precise(outputs: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))


def _log_sigmoid(logits: Tensor) -> Tensor:
    # not functional.logsigmoid: its ONNX form is log(sigmoid(x)), which is -inf for x of -100
    return -functional.softplus(-logits)
