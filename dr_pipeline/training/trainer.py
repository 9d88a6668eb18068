"""Trains one network: from a candidate, its photographs and a seed to a finished grader."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from lightning_fabric import Fabric
from torch import Tensor

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.machine import usable_cores
from dr_pipeline.models.classifier import init_classifier
from dr_pipeline.models.grader import Grader, create_grader, num_parameters
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.training import Training
from dr_pipeline.processes import keep_freed_memory
from dr_pipeline.tables.history import LayerRow
from dr_pipeline.tables.splits import SplitRow
from dr_pipeline.training.checkpoint import save_best_when_stopped
from dr_pipeline.training.data.augmentation import augmenter
from dr_pipeline.training.data.canvas_dataset import BatchLoader, GradedCanvases
from dr_pipeline.training.data.sampler import EpochBatchSampler
from dr_pipeline.training.data.targets import training_targets
from dr_pipeline.training.data.teacher import SEEDS, teacher_logits
from dr_pipeline.training.fabric import device_name, make_fabric, set_determinism
from dr_pipeline.training.layer_statistics import When, layer_statistics
from dr_pipeline.training.loop import FitOptions, FitResult, fit
from dr_pipeline.training.optimization import adapt_batch_norm
from dr_pipeline.training.predict import evaluation_batch
from dr_pipeline.training.training_checks import memory_advice

# Batches for the layer statistics: a few hundred photographs suffice to recognise a dead channel.
_LAYER_BATCHES = 8


@dataclass(frozen=True)
class TrainingData:
    """Photographs and grades of one training.

    Attributes:
        store: The canvases.
        train_set: Training photographs.
        val_set: Photographs that choose the epoch.
        readings: Grades of several readers, by image_id.
        teacher: Logits (N, 5) for the N training photographs; None: as `training.distillation` says.
    """

    store: CanvasStore
    train_set: Sequence[SplitRow]
    val_set: Sequence[SplitRow]
    readings: Mapping[str, Sequence[int]]
    teacher: Tensor | None = None


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained grader and its history.

    Attributes:
        grader: The best epoch's averaged weights, with adapted batch normalisation where params say so; in evaluation
            mode, on the CPU.
        fit: Its weights, the best epoch and the history. The figures are those before any adaptation.
        weights_source: One line on its initial weights.
        num_parameters: Number of trained parameters.
        device: What it was trained on.
        layers: Statistics of its layers before and after training; empty where they were not collected.
    """

    grader: Grader
    fit: FitResult
    weights_source: str
    num_parameters: int
    device: str
    layers: tuple[LayerRow, ...]


def train_network(
    candidate: Candidate,
    params: Training,
    data: TrainingData,
    options: FitOptions,
    *,
    collect_layer_stats: bool = False,
) -> TrainedNetwork:
    """Trains a candidate from its initial weights, or resumes from the checkpoint.

    Args:
        candidate: The network and its schedule.
        params: Settings that all candidates share.
        data: Photographs and grades.
        options: Seed, also of random initial weights; checkpoint and reporting.
        collect_layer_stats: Whether to collect layer statistics before and after training.

    Raises:
        DrPipelineError: See fit, create_grader, initialise_weights and teacher_logits.
        EnvironmentProblem: The memory is full.
        KeyboardInterrupt: After a message on standard error that states what is saved.
    """
    keep_freed_memory(all_of_it=True)
    set_determinism(options.seed)
    fabric = make_fabric(params.precision, candidate.fine_tuning)
    with memory_advice(fabric.device, candidate):
        grader = untrained_grader(candidate, params)
        init_classifier(grader.backbone, grader.head, [row.grade for row in data.train_set])
        weights_source = initialise_weights(grader, model=candidate.model, weights=candidate.weights)
        train_set = _train_set(candidate, params, data, options.seed)
        val_set = _unaugmented(data.store, data.val_set, candidate)
        before = _layers(fabric, grader, val_set, candidate, when="before") if collect_layer_stats else ()
        with save_best_when_stopped(fabric, options.checkpoint, candidate, options.stop_hint):
            result = fit(fabric, grader, train_set, val_set, candidate=candidate, params=params, options=options)
        # a new grader: the trained one is laid out for training, and may be frozen, compiled or data-parallel
        finished = untrained_grader(candidate, params).to(fabric.device).eval()
        finished.load_state_dict(result.weights)
        if params.adaptive_batch_norm != "none":
            on_val_set = params.adaptive_batch_norm == "validation"
            photographs = val_set if on_val_set else _unaugmented(data.store, data.train_set, candidate)
            adapt_batch_norm(finished, (fabric.to_device(images) for images in _batches(photographs, candidate)))
            result = replace(result, weights={name: value.cpu() for name, value in finished.state_dict().items()})
        after = _layers(fabric, finished, val_set, candidate, when="after") if collect_layer_stats else ()
        return TrainedNetwork(
            grader=finished.cpu(),
            fit=result,
            weights_source=weights_source,
            num_parameters=num_parameters(finished),
            device=device_name(fabric),
            layers=(*before, *after),
        )


def untrained_grader(candidate: Candidate, params: Training) -> Grader:
    """The network of a candidate, with random weights."""
    return create_grader(
        candidate.model,
        input_px=candidate.input_px,
        drop_rate=candidate.drop_rate,
        drop_path_rate=candidate.drop_path_rate,
        network=candidate.network,
        loss=params.objective.loss,
    )


def _train_set(candidate: Candidate, params: Training, data: TrainingData, seed: int) -> GradedCanvases:
    """Augmented photographs with their targets, and the teacher's logits where there is one."""
    image_ids = [row.image_id for row in data.train_set]
    soft = params.mixing.probability > 0
    return GradedCanvases(
        data.store,
        image_ids,
        [row.grade for row in data.train_set],
        input_px=candidate.input_px,
        augment=augmenter(params.augmentation),
        seed=seed,
        targets=training_targets(data.train_set, data.readings, agreement=params.reader_agreement, soft=soft),
        sites=[row.site for row in data.train_set],
        teacher=data.teacher if data.teacher is not None else _teacher(params, data.store, image_ids),
    )


def _teacher(params: Training, store: CanvasStore, image_ids: Sequence[str]) -> Tensor | None:
    teacher = params.distillation.teacher
    if teacher in ("none", SEEDS):  # the networks that are to be the teacher have none
        return None
    return teacher_logits(teacher, store, image_ids, threads=usable_cores())


def _unaugmented(store: CanvasStore, rows: Sequence[SplitRow], candidate: Candidate) -> GradedCanvases:
    """Photographs as scoring sees them."""
    return GradedCanvases(
        store,
        [row.image_id for row in rows],
        [row.grade for row in rows],
        input_px=candidate.input_px,
        groups=[row.group for row in rows],
    )


def _batches(photographs: GradedCanvases, candidate: Candidate) -> Iterator[Tensor]:
    """Shuffled batches of images, each of two or more unless there is only one photograph."""
    batch = max(2, evaluation_batch(candidate))
    sampler = EpochBatchSampler(photographs.grades.tolist(), batch, shuffle=len(photographs) > 1, seed=0)
    return (images for images, _ in BatchLoader(photographs, sampler, 0))


def _layers(
    fabric: Fabric, grader: Grader, photographs: GradedCanvases, candidate: Candidate, *, when: When
) -> tuple[LayerRow, ...]:
    batches = islice(_batches(photographs, candidate), _LAYER_BATCHES)
    return layer_statistics(grader.to(fabric.device), batches, when=when)
