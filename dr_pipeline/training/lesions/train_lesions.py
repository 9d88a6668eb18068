"""Trains a network to outline lesions, and to grade where grades are learned as well."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from torch import Tensor, nn

from dr_pipeline.models.classifier import classifier_names, init_classifier
from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.models.multi_task import MultiTaskNetwork
from dr_pipeline.models.segmenter import segmenter_from_params
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.processes import keep_freed_memory
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.fabric import one_device, set_determinism
from dr_pipeline.training.lesions.graded import GradedBatch, GradeLearning
from dr_pipeline.training.lesions.lesion_data import LesionData
from dr_pipeline.training.lesions.lesion_loss import LesionLoss
from dr_pipeline.training.lesions.tile_training import (
    LesionEpoch,
    Losses,
    TrainedNetwork,
    tensors_of,
    train_on_tiles,
    training_key,
)
from dr_pipeline.training.lesions.tiles import TileBatch, TileSampler


@dataclass(frozen=True)
class TrainedSegmenter:
    """A trained network, in its parts.

    Attributes:
        training: The network and its epochs.
        grading: How well it grades; None: lesions alone.
    """

    training: TrainedNetwork
    grading: dict[str, Any] | None

    @property
    def tensors(self) -> dict[str, Tensor]:
        """By the names of `Segmenter`."""
        return tensors_of(cast("MultiTaskNetwork", self.training.network).segmenter)

    @property
    def grader(self) -> dict[str, Tensor] | None:
        """Of the grader on the same encoder, by the names of `Grader`; None: lesions alone."""
        grader = cast("MultiTaskNetwork", self.training.network).grader
        return None if grader is None else tensors_of(grader)

    def figures(self) -> dict[str, Any]:
        """For the report."""
        if self.grading is None:
            return self.training.figures()
        first, last = self.training.history[0], self.training.history[-1]
        losses = {"loss_first_epoch": first.grade_loss, "loss": last.grade_loss}
        return self.training.figures() | {"grading": losses | self.grading}


def checkpoint_key(params: LesionTraining, data: LesionData) -> str:
    """Hash of everything that the result depends on."""
    return training_key(params, data, module=__name__)


def train_lesions(
    params: LesionTraining,
    data: LesionData,
    checkpoint: Checkpoint,
    *,
    on_epoch: Callable[[LesionEpoch], None],
) -> TrainedSegmenter:
    """Trains one network, or resumes from the checkpoint.

    Args:
        params: Network, tiles, loss and schedule.
        data: The photographs; where some have grades, these are learned as well.
        checkpoint: Written after each epoch.
        on_epoch: Called after each epoch.

    Raises:
        ParamsError: timm has no such network, or the weights are not there.
        DataError: A canvas cannot be read, the weights are of another network, or a grade is measured that none of
            the training photographs has.
        GateError: The loss is not finite; the epoch before it stays saved.
        EnvironmentProblem: The memory or the disk is full.
    """
    keep_freed_memory(all_of_it=True)
    set_determinism(params.seed)
    fabric = one_device(params.precision)
    segmenter, source = segmenter_from_params(params, len(data.kinds), weights=params.weights)
    grader = _untrained_grader(params) if data.graded else None
    network = MultiTaskNetwork(segmenter, grader)
    grades = GradeLearning(data.graded, params, grader) if data.graded and grader else None
    tiles = TileSampler(data.store, data.image_ids, data.kinds, params)
    lesion_loss = LesionLoss(
        tiles.mean_pixels(),
        false_positives=params.false_positives,
        focal_gamma=params.focal_gamma,
        focal_weight=params.focal_weight,
    )

    def losses_of(model: Any, step: _Step) -> Losses:
        images, shown, labelled = step.tiles
        if grades is None or step.graded is None:
            loss = lesion_loss(model(images)[0], shown, labelled)
            return Losses(loss, loss)
        photographs, true = step.graded
        logits, outputs = model(images, photographs)
        of_lesions, of_grades = lesion_loss(logits, shown, labelled), grades.loss(outputs, true)
        return Losses(of_lesions + grades.weight * of_grades, of_lesions, of_grades)

    training = train_on_tiles(
        params,
        data,
        checkpoint,
        fabric=fabric,
        network=network,
        source=source,
        new=_new_parameters(network),
        batches=_Steps(tiles, grades),
        losses_of=losses_of,
        on_epoch=on_epoch,
    )
    trained = cast("MultiTaskNetwork", training.network)
    return TrainedSegmenter(
        training, grades.figures(fabric, trained.grader) if grades is not None and trained.grader else None
    )


def _untrained_grader(params: LesionTraining) -> Grader:
    """With the same initial weights as the segmenter's encoder, of which it needs those of the last layers."""
    grader = create_grader(params.model, input_px=params.grading.input_px, drop_rate=0.0, drop_path_rate=0.0)
    init_classifier(grader.backbone, grader.head, [])
    initialise_weights(grader, model=params.model, weights=params.weights)
    return grader


def _new_parameters(network: MultiTaskNetwork) -> list[nn.Parameter]:
    """Decoder, head and classifier: what does not start from trained weights."""
    new = [*network.segmenter.decoder.parameters(), *network.segmenter.head.parameters()]
    if network.grader is not None:
        for name in classifier_names(network.grader.backbone):
            new += network.grader.backbone.get_submodule(name).parameters()
    return new


class _Step(NamedTuple):
    """What one step learns."""

    tiles: TileBatch
    graded: GradedBatch | None


class _Steps:
    """The steps' tiles, and photographs where grades are learned."""

    def __init__(self, tiles: TileSampler, grades: GradeLearning | None) -> None:
        self._tiles, self._grades = tiles, grades

    def batch(self, epoch: int, number: int) -> _Step:
        graded = None if self._grades is None else self._grades.batch(epoch, number)
        return _Step(self._tiles.batch(epoch, number), graded)
