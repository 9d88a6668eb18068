"""What is learnt as one module, so that precision, compilation and several processes wrap one thing."""

import torch
from torch import Tensor, nn

from dr_pipeline.models.grader import Grader
from dr_pipeline.params.training import Distillation
from dr_pipeline.training.objectives import GradingLoss


class Task(nn.Module):
    """A grader and what it is to learn: photographs and targets → a loss summed over the photographs.

    With a teacher (Hinton, Vinyals and Dean 2015, arXiv:1503.02531) the sum is (1 - w) · objective + w · T² · the
    cross-entropy of the student's softened probabilities against the teacher's. T² keeps the gradient's size. Each
    photograph counts by its weight in both terms, so that the total stays additive over photographs.
    """

    def __init__(self, grader: Grader, objective: GradingLoss, distillation: Distillation) -> None:
        super().__init__()
        self.grader, self.objective = grader, objective
        self._share, self._temperature = distillation.weight, distillation.temperature

    def forward(self, images: Tensor, targets: Tensor, teacher: Tensor | None) -> Tensor:
        """The total loss, to be divided by the objective's weight of the targets.

        Args:
            images: uint8 (N, H, W, 3).
            targets: long (N,) grades or float (N, 5) distributions.
            teacher: float (N, 5) probabilities, softened by the temperature; None for no teacher.

        Returns:
            A float32 scalar.
        """
        outputs = self.grader.outputs(images)
        with torch.autocast(outputs.device.type, enabled=False):  # sums and logarithms need their 32 bits
            outputs = outputs.float()
            total = self.objective.total(self.grader.head, outputs, targets)
            if teacher is None:
                return total
            student: Tensor = (self.grader.head(outputs) / self._temperature).log_softmax(1)
            imitation = ((-teacher * student).sum(1) * self._weights(targets)).sum()
            return (1 - self._share) * total + self._share * self._temperature**2 * imitation

    def _weights(self, targets: Tensor) -> Tensor:
        """Of each photograph (N,): that of its grade, or the mean under its distribution."""
        of_grades = self.objective.grade_weights
        return of_grades[targets] if targets.ndim == 1 else (targets * of_grades).sum(1)


def softened(teacher: Tensor | None, distillation: Distillation) -> Tensor | None:
    """The teacher's probabilities (N, 5) at the distillation's temperature, from its logits."""
    return None if teacher is None else (teacher / distillation.temperature).softmax(1)
