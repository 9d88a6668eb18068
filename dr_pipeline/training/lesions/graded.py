"""The grades of a multi-task training: which photographs, their batches, their loss, and how well they are graded."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import read_json, sha256_file, sha256_json
from dr_pipeline.models.grader import Grader
from dr_pipeline.params.lesion_training import GradingTask, LesionTraining
from dr_pipeline.params.training import Balance, Objective
from dr_pipeline.schema import Split
from dr_pipeline.splitting.groups import grouped_with
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.splits import SplitRow, select_split
from dr_pipeline.training.data.augmentation import augmenter
from dr_pipeline.training.data.canvas_dataset import BatchLoader, GradedCanvases, Pixels
from dr_pipeline.training.data.sampler import EpochBatchSampler, SampleKey, derived_seed
from dr_pipeline.training.data.targets import grade_weights
from dr_pipeline.training.objectives import GradingLoss
from dr_pipeline.training.predict import evaluate
from dr_pipeline.training.training_checks import check_trainable

Augment = Callable[[Pixels, int], Pixels]

_CROSS_ENTROPY = Objective(loss="cross_entropy", label_smoothing=0.0, focal_gamma=0.0, kappa_share=1.0)


@dataclass(frozen=True)
class GradedPhotographs:
    """The photographs with grades beside one network's tiles.

    Attributes:
        store: Their canvases.
        train_set: Of the fold's training part, without eyes whose outlined photographs the network is measured on.
        val_set: Of its validation part, without eyes whose outlined photographs the network learns; may be empty.
        left_out: How many that leaves out of each.
        identity: Hash of the canvases and of all this, for the checkpoint's key.
    """

    store: CanvasStore
    train_set: Sequence[SplitRow]
    val_set: Sequence[SplitRow]
    left_out: Mapping[str, int]
    identity: str


@dataclass(frozen=True)
class Grades:
    """The grading set with one fold of it, and which of its photographs are outlined too.

    Attributes:
        store: Its canvases.
        audited: Every one of its photographs.
        splits: Those with a part.
        fold: Its validation part is not trained on.
        same_eye: By outlined photograph: those of the grading set that are copies of it, or show its eye.
    """

    store: CanvasStore
    audited: Sequence[ManifestRow]
    splits: Sequence[SplitRow]
    fold: int
    same_eye: Mapping[str, Set[str]]

    def beside(self, outlined: LesionStore, lesion_fold: int | None) -> GradedPhotographs:
        """The photographs that may be graded beside the tiles of one network.

        No eye trains grades and measures lesions, or trains lesions and measures grades.

        Args:
            outlined: The outlined photographs.
            lesion_fold: Whose photographs the network does not learn; None: it learns all.

        Raises:
            ParamsError: Its canvases went through another pixel path than the outlined ones.
            DataError: There is no such fold, or the tables are not of the same photographs.
        """
        _require_one_pixel_path(outlined, self.store)
        measured = {image_id for image_id, row in outlined.rows.items() if row.fold == lesion_fold}
        train_set = select_split(self.splits, Split.TRAIN, self.fold)
        val_set = select_split(self.splits, Split.VALIDATION, self.fold)
        held_out, learned = self._same_group(measured), self._same_group(set(outlined.rows) - measured)
        train_kept = [row for row in train_set if row.image_id not in held_out]
        val_kept = [row for row in val_set if row.image_id not in learned]
        parts = [[row.image_id, row.grade, row.group] for row in (*train_kept, *val_kept)]
        identity = sha256_json([sha256_file(self.store.index_path), len(train_kept), parts])
        left_out = {"training": len(train_set) - len(train_kept), "validation": len(val_set) - len(val_kept)}
        return GradedPhotographs(self.store, train_kept, val_kept, left_out, identity)

    def _same_group(self, image_ids: Set[str]) -> set[str]:
        """The photographs of the grading set that show one of these outlined eyes, or belong to one that does."""
        same_eye = {grading_id for image_id in image_ids for grading_id in self.same_eye.get(image_id, ())}
        if same_eye - {row.image_id for row in self.audited}:
            raise DataError(
                "the comparison of outlined with graded photographs is of another grading set",
                where="reports/lesions/NAME-canvases.json",
                todo="run `dvc repro lesion-canvases`",
            )
        return grouped_with(self.audited, same_eye)


def read_same_eye(report: Path, name: str) -> dict[str, set[str]]:
    """The photographs of the grading set that `lesion-canvases` found to show an outlined eye, by outlined photograph.

    Args:
        report: The JSON that it wrote.
        name: Of the entry of the section `lesions`.

    Raises:
        DataError: The file is missing or is of another kind.
    """
    value = read_json(report)
    found: dict[str, set[str]] = {}
    try:
        for match in value["lesion_canvases"][name]["in_grading_set"]:
            found.setdefault(match["image_id"], set()).add(match["grading_id"])
    except (KeyError, TypeError):
        raise DataError(
            f"does not compare {name} with the grading set",
            where=str(report),
            todo="run `dvc repro lesion-canvases`, which writes it again",
        ) from None
    return found


class GradedBatch(NamedTuple):
    """N photographs.

    Attributes:
        images: uint8 (N, px, px, 3) RGB.
        grades: int64 (N,).
    """

    images: Tensor
    grades: Tensor


class GradeLearning:
    """Grades as the second task of a training: batches, loss, and figures at its end.

    Attributes:
        weight: Of the grades' loss, beside 1 for the lesions'.

    Args:
        photographs: To learn from and to measure on.
        params: Augmentation, as that of tiles, the seed of the draws, and the section `grading`.
        grader: Untrained.

    Raises:
        DataError: A canvas cannot be read, there are fewer photographs than in a batch, or a grade is measured that
            none of those to learn from has.
    """

    def __init__(self, photographs: GradedPhotographs, params: LesionTraining, grader: Grader) -> None:
        task = params.grading
        if len(photographs.train_set) < task.batch_photographs:
            raise DataError(
                f"{len(photographs.train_set)} photographs are left to learn grades from, and a batch has "
                f"{task.batch_photographs}; {photographs.left_out['training']} show eyes on which lesions are measured",
                where="lesions.NAME.training.grading.batch_photographs in params.yaml",
                todo="lower it, or grade more photographs",
            )
        grades = [row.grade for row in photographs.train_set]
        check_trainable(grader, grades, [row.grade for row in photographs.val_set], task.batch_photographs)
        self.weight = task.weight
        self._batch_photographs, self._seed, self._head = task.batch_photographs, params.seed, grader.head
        self._left_out = dict(photographs.left_out)
        self._train_set = _canvases(
            photographs.store, photographs.train_set, task, augmenter(params.augmentation), params.seed
        )
        self._val_set = _canvases(photographs.store, photographs.val_set, task)
        balance = Balance(
            weights="exponent", exponent=task.balance_exponent, beta=0.0, sampling="natural", weights_and_sampling=False
        )
        self._loss = GradingLoss(_CROSS_ENTROPY, grade_weights(grades, balance))

    def batch(self, epoch: int, number: int) -> GradedBatch:
        """The photographs of one step: the same for the same seed, epoch and number, whatever was drawn before."""
        rng = np.random.default_rng(derived_seed(self._seed, epoch, number))
        positions = rng.choice(len(self._train_set), self._batch_photographs, replace=False)
        images = [self._train_set[SampleKey(epoch, position, number)][0] for position in positions.tolist()]
        return GradedBatch(torch.stack(images), self._train_set.grades[positions])

    def loss(self, outputs: Tensor, grades: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar: before its weight beside the lesions'."""
        objective = self._loss.to(outputs.device)
        return objective.total(self._head, outputs.float(), grades) / objective.weight(grades)

    def figures(self, fabric: Fabric, grader: Grader) -> dict[str, Any]:
        """How well the grader grades the validation photographs, and on how many it learned; for the report."""
        measured: dict[str, float] = {}
        if len(self._val_set):
            grades = self._val_set.grades.tolist()
            sampler = EpochBatchSampler(grades, self._batch_photographs, shuffle=False, seed=0)
            loader = BatchLoader(self._val_set, sampler, 0)
            figures = evaluate(fabric, grader, loader, self._val_set, self._loss.to(fabric.device))
            measured = dict(zip(("loss", "qwk", "qwk_standard_error"), figures, strict=True))
        return {
            "photographs": len(self._train_set),
            "left_out": self._left_out,
            "validation": {"photographs": len(self._val_set), **measured},
        }


def _canvases(
    store: CanvasStore, rows: Sequence[SplitRow], task: GradingTask, augment: Augment | None = None, seed: int = 0
) -> GradedCanvases:
    return GradedCanvases(
        store,
        [row.image_id for row in rows],
        [row.grade for row in rows],
        input_px=task.input_px,
        augment=augment,
        seed=seed,
        groups=[row.group for row in rows],
    )


def _require_one_pixel_path(outlined: LesionStore, graded: CanvasStore) -> None:
    """One encoder sees both: they may differ in the canvas's side, not in geometry or enhancement."""
    ours, theirs = ((path.aspect, path.enhancement) for path in (outlined.pixel_path, graded.pixel_path))
    if ours != theirs:
        raise ParamsError(
            f"graded canvases have the aspect and enhancement {', '.join(theirs)}; outlined ones {', '.join(ours)}",
            where="lesions.NAME.training.grading in params.yaml",
            todo="set its weight to 0, or `preprocess` to the values of the outlined canvases",
        )
