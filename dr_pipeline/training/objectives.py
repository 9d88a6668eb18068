"""The training objective: the loss of a batch, with grade weights, label smoothing and distillation."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dr_pipeline.models.grader import Grader
from dr_pipeline.models.losses import loss_class
from dr_pipeline.params.training import Distillation, Objective
from dr_pipeline.schema import NUM_GRADES


class GradingLoss(nn.Module):
    """A registered loss with grade weights and label smoothing.

    The cost of a photograph is the sum over grades of target probability × grade weight × cost of that grade: for a
    single grade the usual loss, for a distribution its mean. `label_smoothing` spreads its share of each target over
    the five grades, as `nn.CrossEntropyLoss` does (Szegedy et al., CVPR 2016).

    Args:
        params: Which loss, and its settings.
        grade_weights: Shape (5,), see `training.balance`.
    """

    grade_weights: Tensor

    def __init__(self, params: Objective, grade_weights: Tensor) -> None:
        super().__init__()
        self._loss, self._smoothing = loss_class(params.loss)(params), params.label_smoothing
        self.register_buffer("grade_weights", grade_weights, persistent=False)

    def total(self, head: nn.Module, outputs: Tensor, targets: Tensor) -> Tensor:
        """Weighted sum of the photographs' losses; `total / weight` is the mean loss.

        It is additive over photographs, so that a batch may be computed in microbatches or on several devices. The
        soft kappa is not: it is the kappa of the photographs given here, times their weight.

        Args:
            head: `make_head()` of the loss; may hold trained parameters.
            outputs: (N, num_outputs) of any floating type.
            targets: long (N,) grades, or float (N, 5) distributions.

        Returns:
            A scalar, float32 or float64.

        Raises:
            ValueError: The targets have another shape.
        """
        distributions = _distributions(targets)
        smoothed = (1 - self._smoothing) * distributions + self._smoothing / NUM_GRADES
        return self._loss.total(head, outputs, distributions, smoothed, self.grade_weights)

    def weight(self, targets: Tensor) -> Tensor:
        """Sum of the photographs' weights, a scalar: each has the mean of the grade weights under its target."""
        return (_distributions(targets) * self.grade_weights).sum()


class TrainingTask(nn.Module):
    """Grader and objective in one module, so that precision, compilation and data parallelism wrap a single module.

    With a teacher (Hinton, Vinyals and Dean 2015, arXiv:1503.02531) the total is (1 - w) · objective + w · T² · the
    cross-entropy of the student's softened probabilities against the teacher's. T² keeps the scale of the gradient.
    Each photograph has its weight in both terms, so that the total stays additive over photographs.
    """

    def __init__(self, grader: Grader, objective: GradingLoss, distillation: Distillation) -> None:
        super().__init__()
        self.grader, self.objective = grader, objective
        self._teacher_weight, self._temperature = distillation.weight, distillation.temperature

    def forward(self, images: Tensor, targets: Tensor, teacher: Tensor | None) -> Tensor:
        """The total loss, to be divided by the objective's weight of the targets.

        Args:
            images: uint8 (N, H, W, 3).
            targets: long (N,) grades or float (N, 5) distributions.
            teacher: float (N, 5) probabilities, softened by the temperature; None without a teacher.

        Returns:
            A float32 scalar.
        """
        outputs = self.grader.outputs(images)
        with torch.autocast(outputs.device.type, enabled=False):  # sums and logarithms need 32 bits
            outputs = outputs.float()
            total = self.objective.total(self.grader.head, outputs, targets)
            if teacher is None:
                return total
            student: Tensor = (self.grader.head(outputs) / self._temperature).log_softmax(1)
            distillation = ((-teacher * student).sum(1) * self._weights(targets)).sum()
            return (1 - self._teacher_weight) * total + self._teacher_weight * self._temperature**2 * distillation

    def _weights(self, targets: Tensor) -> Tensor:
        """Weight of each photograph (N,): that of its grade, or the mean under its distribution."""
        grade_weights = self.objective.grade_weights
        return grade_weights[targets] if targets.ndim == 1 else (targets * grade_weights).sum(1)


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
