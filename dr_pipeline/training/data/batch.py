"""What a step learns from: photographs, their targets, and what a teacher says of them."""

from typing import NamedTuple

from torch import Tensor

from dr_pipeline.params.training import Distillation, Training
from dr_pipeline.training.data.dataset import GradedCanvases
from dr_pipeline.training.data.mixing import mix


class Part(NamedTuple):
    """A batch or a part of it, as TrainingTask takes it."""

    images: Tensor  # uint8 (N, H, W, 3)
    targets: Tensor  # long (N,) or float (N, 5)
    teacher: Tensor | None  # float (N, 5) probabilities


class Material:
    """Targets and softened teacher of all training photographs, looked up by position and mixed batch by batch.

    Mixing needs targets that are distributions.
    """

    def __init__(self, training: GradedCanvases, params: Training) -> None:
        self._mixing = params.mixing
        self._targets, self._teacher = training.targets, softened(training.teacher, params.distillation)

    def of(self, images: Tensor, positions: Tensor, *, seed: int) -> Part:
        """A batch.

        Args:
            images: uint8 (N, H, W, 3), mixed on the device where they are.
            positions: long (N,), of the photographs, on the CPU.
            seed: Of the mixing; one for each batch.

        Returns:
            The images where they were; targets and teacher on the CPU.
        """
        targets = self._targets[positions]
        teacher = None if self._teacher is None else self._teacher[positions]
        if not self._mixing.probability:
            return Part(images, targets, teacher)
        soft = [targets] if teacher is None else [targets, teacher]
        images, soft = mix(images, soft, self._mixing, seed=seed)
        return Part(images, soft[0], None if teacher is None else soft[1])


def parts_of(whole: Part, num_parts: int, *, fewest: int) -> list[Part]:
    """A batch in parts as equal as can be.

    A batch of few photographs gives fewer parts, each of two photographs or more, for batch normalisation.

    Args:
        whole: This process's share of the batch.
        num_parts: How many are wanted.
        fewest: Photographs on the process that has fewest of this batch. All make as many parts as that one can: batch
            normalisation over several GPUs waits for the others in each part.
    """
    num_parts = max(1, min(num_parts, fewest // 2))
    images, targets = whole.images.tensor_split(num_parts), whole.targets.tensor_split(num_parts)
    teachers: tuple[Tensor | None, ...] = (None,) * num_parts
    if whole.teacher is not None:
        teachers = whole.teacher.tensor_split(num_parts)
    return [Part(*part) for part in zip(images, targets, teachers, strict=True)]


def softened(teacher: Tensor | None, distillation: Distillation) -> Tensor | None:
    """The teacher's probabilities (N, 5) at the distillation's temperature, from its logits."""
    return None if teacher is None else (teacher / distillation.temperature).softmax(1)
