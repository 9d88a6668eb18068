"""CORN: ordinal regression by conditional probabilities (Shi, Cao & Raschka, arXiv:2111.08851)."""

from torch import Tensor
from torch.nn import functional

from dr_pipeline.models.losses.loss import Head, at_least_float32, log_sigmoid
from dr_pipeline.models.losses.softmax import CrossEntropy
from dr_pipeline.schema import NUM_GRADES


class CornHead(Head):
    """Output k is the logit of P(grade > k | grade ≥ k)."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Outputs (N, 4) → logarithms of the products of conditional probabilities (N, 5)."""
        outputs = at_least_float32(outputs)
        reached = functional.pad(log_sigmoid(outputs).cumsum(dim=1), (1, 0))  # log P(grade ≥ k), k = 0 … 4
        stopped = functional.pad(log_sigmoid(-outputs), (0, 1))  # log P(grade = k | grade ≥ k); 0 for the last grade
        return reached + stopped


class Corn(CrossEntropy):
    """Binary cross-entropies of the conditional questions that apply to grade k.

    They add up to -log p_k. The paper divides by the number of questions; here each photograph counts once.
    """

    num_outputs = NUM_GRADES - 1

    @staticmethod
    def make_head() -> Head:
        """Returns a new head for this loss."""
        return CornHead()
