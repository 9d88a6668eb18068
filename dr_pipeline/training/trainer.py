"""Trains one member: from a candidate, its photographs and a seed to a finished grader."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from lightning_fabric import Fabric
from monai.utils import set_determinism
from torch import Tensor

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.machine import usable_cores
from dr_pipeline.models.classifier import init_classifier
from dr_pipeline.models.grader import Grader, create_grader, num_parameters
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.training import Training
from dr_pipeline.tables.splits import SplitRow
from dr_pipeline.training.batch_norm import adapt_batch_norm
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.checks import kept_when_stopped, memory_advice
from dr_pipeline.training.data.augmentation import augmenter
from dr_pipeline.training.data.dataset import Batches, GradedCanvases
from dr_pipeline.training.data.sampler import EpochBatches
from dr_pipeline.training.data.targets import training_targets
from dr_pipeline.training.data.teacher import teacher_logits
from dr_pipeline.training.fabric import device_name, keep_freed_memory, make_fabric, num_loader_workers
from dr_pipeline.training.layer_statistics import LayerStatistics, When, layer_statistics
from dr_pipeline.training.loop import Epoch, Trained, fit
from dr_pipeline.training.validation import evaluation_batch

# Batches that the layers' figures are taken from: a few hundred photographs tell a dead channel.
_LAYER_BATCHES = 8


@dataclass(frozen=True)
class Member:
    """A trained grader and how it came to be.

    Attributes:
        grader: The best epoch's averaged weights, adapted where it was asked for; evaluation mode, on the CPU.
        trained: Its weights, the best epoch and the history. The figures are those before any adaptation.
        weights_source: One line on its first weights.
        num_parameters: How many numbers it learnt.
        device: What it was trained on.
        layers: Figures of its layers before and after; empty where they were not asked for.
    """

    grader: Grader
    trained: Trained
    weights_source: str
    num_parameters: int
    device: str
    layers: tuple[LayerStatistics, ...]


def train_member(
    candidate: Candidate,
    params: Training,
    *,
    store: CanvasStore,
    training: Sequence[SplitRow],
    validation: Sequence[SplitRow],
    readings: Mapping[str, Sequence[int]],
    seed: int,
    checkpoint: Checkpoint,
    on_epoch: Callable[[Epoch], None],
    layers: bool,
    take_best: bool = False,
    to_stop: str = "",
) -> Member:
    """Trains a candidate from its first weights, or goes on where the checkpoint stands.

    Args:
        candidate: The network and its schedule.
        params: What all candidates share.
        store: The canvases.
        training: Photographs to learn from.
        validation: Photographs that choose the epoch.
        readings: Grades of several readers, by image_id.
        seed: Of everything that is drawn, the first weights included.
        checkpoint: Where to resume from, and to save each epoch.
        on_epoch: Told of each finished epoch, on the first process only.
        layers: Whether to take figures of the layers before and after.
        take_best: Trains no further: takes the best epoch of the checkpoint.
        to_stop: What a stopped training says of how to end with the epochs there are; empty where there is no way.

    Raises:
        DrPipelineError: See fit, create_grader, initialise and teacher_logits.
        EnvironmentProblem: The memory is full.
        KeyboardInterrupt: After a sentence on standard error that says what is kept.
    """
    keep_freed_memory()
    set_determinism(seed)
    fabric = make_fabric(params.precision, candidate.fine_tuning)
    with memory_advice(fabric.device, candidate):
        grader = _untrained(candidate, params)
        init_classifier(grader.backbone, grader.head, [row.grade for row in training])
        weights_source = initialise_weights(grader, model=candidate.model, weights=candidate.weights)
        learnt = GradedCanvases(
            store,
            [row.image_id for row in training],
            [row.grade for row in training],
            input_px=candidate.input_px,
            augment=augmenter(params.augmentation),
            seed=seed,
            targets=training_targets(
                training, readings, agreement=params.reader_agreement, soft=params.mixing.probability > 0
            ),
            teacher=_teacher(params, store, training),
        )
        judged = _plain(store, validation, candidate)
        before = _layers(fabric, grader, judged, candidate, when="before") if layers else ()
        with kept_when_stopped(fabric, checkpoint, candidate, to_stop):
            trained = fit(
                fabric,
                grader,
                learnt,
                judged,
                candidate=candidate,
                params=params,
                seed=seed,
                num_workers=num_loader_workers(fabric),
                checkpoint=checkpoint,
                on_epoch=on_epoch,
                take_best=take_best,
            )
        # anew: the trained one is laid out for training, and may be frozen, compiled or shared between processes
        finished = _untrained(candidate, params).to(fabric.device).eval()
        finished.load_state_dict(trained.weights)
        if params.adaptive_batch_norm != "none":
            plain = judged if params.adaptive_batch_norm == "validation" else _plain(store, training, candidate)
            adapt_batch_norm(finished, (fabric.to_device(images) for images in _images(plain, candidate)))
            trained = replace(trained, weights={name: value.cpu() for name, value in finished.state_dict().items()})
        after = _layers(fabric, finished, judged, candidate, when="after") if layers else ()
        return Member(
            grader=finished.cpu(),
            trained=trained,
            weights_source=weights_source,
            num_parameters=num_parameters(finished),
            device=device_name(fabric),
            layers=(*before, *after),
        )


def _untrained(candidate: Candidate, params: Training) -> Grader:
    return create_grader(
        candidate.model,
        input_px=candidate.input_px,
        drop_rate=candidate.drop_rate,
        drop_path_rate=candidate.drop_path_rate,
        network=candidate.network,
        loss=params.objective.loss,
    )


def _teacher(params: Training, store: CanvasStore, rows: Sequence[SplitRow]) -> Tensor | None:
    if params.distillation.teacher == "none":
        return None
    return teacher_logits(params.distillation.teacher, store, [row.image_id for row in rows], threads=usable_cores())


def _plain(store: CanvasStore, rows: Sequence[SplitRow], candidate: Candidate) -> GradedCanvases:
    """Photographs as scoring will see them."""
    image_ids, grades = [row.image_id for row in rows], [row.grade for row in rows]
    return GradedCanvases(store, image_ids, grades, input_px=candidate.input_px, augment=None, seed=0)


def _images(plain: GradedCanvases, candidate: Candidate) -> Iterator[Tensor]:
    """Batches drawn at random, without positions; none has one photograph alone, unless there is one alone."""
    order = EpochBatches(plain.grades.tolist(), max(2, evaluation_batch(candidate)), shuffle=len(plain) > 1, seed=0)
    return (images for images, _ in Batches(plain, order, 0))


def _layers(
    fabric: Fabric, grader: Grader, plain: GradedCanvases, candidate: Candidate, *, when: When
) -> tuple[LayerStatistics, ...]:
    return layer_statistics(grader.to(fabric.device), islice(_images(plain, candidate), _LAYER_BATCHES), when=when)
