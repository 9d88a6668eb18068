"""Which photographs are graded beside one network's tiles, their batches, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import write_json
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.models.grader import create_grader
from dr_pipeline.training.lesions.graded import GradedPhotographs, GradeLearning, Grades, read_same_eye
from tests.factories.graded_sets import write_grading_set
from tests.factories.lesion_sets import training, write_store

TASK = {"weight": 0.5, "input_px": 32, "batch_photographs": 8, "balance_exponent": 0.5}


@pytest.fixture
def grades(tmp_path: Path) -> Grades:
    return write_grading_set(tmp_path / "grading")


def learning(photographs: GradedPhotographs, **changes: int) -> GradeLearning:
    grader = create_grader("test_efficientnet", input_px=32, drop_rate=0.0, drop_path_rate=0.0)
    return GradeLearning(photographs, training(grading=TASK | changes), grader)


def patients(rows) -> set[str]:
    return {row.patient_id for row in rows}


def test_no_eye_trains_one_task_and_measures_the_other(tmp_path: Path, grades: Grades) -> None:
    outlined = write_store(tmp_path / "canvases")
    fold_0, fold_1 = ({f"P{number}" for number in range(fold, 30, 3)} for fold in (0, 1))

    without_fold_0 = grades.beside(outlined, 0)  # which measures lesions on p0, and learns p1 and p3
    assert patients(without_fold_0.train_set) == fold_1 - {"P1"}  # the whole patient, not only the left eye
    assert patients(without_fold_0.val_set) == fold_0 - {"P0", "P3"}
    assert without_fold_0.left_out == {"training": 2, "validation": 4}

    without_fold_1 = grades.beside(outlined, 1)
    assert patients(without_fold_1.train_set) == fold_1
    assert patients(without_fold_1.val_set) == fold_0
    of_all = grades.beside(outlined, None)
    assert (patients(of_all.train_set), patients(of_all.val_set)) == (fold_1, fold_0 - {"P0", "P3"})
    assert len({one.identity for one in (without_fold_0, without_fold_1, of_all)}) == 3


def test_a_batch_depends_on_seed_epoch_and_number_alone(tmp_path: Path, grades: Grades) -> None:
    task = learning(grades.beside(write_store(tmp_path / "canvases"), 1))
    first = task.batch(0, 3)
    for other in (task.batch(1, 3), task.batch(0, 4)):
        assert not torch.equal(first.images, other.images)
    assert torch.equal(task.batch(0, 3).images, first.images)
    assert first.images.shape == (8, 32, 32, 3)
    brightness = first.images.float().mean((1, 2, 3))  # the canvas's colour follows the grade
    assert torch.corrcoef(torch.stack([brightness, first.grades.float()]))[0, 1] > 0.8


def test_the_loss_is_cross_entropy_weighted_by_grade(tmp_path: Path, grades: Grades) -> None:
    photographs = grades.beside(write_store(tmp_path / "canvases"), 1)
    counts = torch.bincount(torch.tensor([row.grade for row in photographs.train_set]), minlength=5)
    outputs, true = torch.randn(6, 5, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 3, 4, 0])
    expected = torch.nn.functional.cross_entropy(outputs, true, weight=counts.float() ** -0.5)
    torch.testing.assert_close(learning(photographs).loss(outputs, true), expected)


def test_grades_that_cannot_be_learned_are_refused(tmp_path: Path, grades: Grades) -> None:
    outlined = write_store(tmp_path / "canvases")
    photographs = grades.beside(outlined, 0)
    with pytest.raises(DataError, match="18 photographs are left to learn grades from, and a batch has 19; 2 show"):
        learning(photographs, batch_photographs=19)
    without_3 = replace(photographs, train_set=[row for row in photographs.train_set if row.grade != 3])
    with pytest.raises(DataError, match="no training photograph of grade 3"):
        learning(without_3)
    with pytest.raises(DataError, match="there is no fold 4"):
        replace(grades, fold=4).beside(outlined, 0)
    with pytest.raises(DataError, match="of another grading set"):
        replace(grades, same_eye={"p0": {"elsewhere"}}).beside(outlined, 0)
    grades.store.pixel_path = PixelPath(64, "clahe")
    with pytest.raises(ParamsError, match="enhancement restore, clahe; outlined ones restore, none"):
        grades.beside(outlined, 0)


def test_a_report_without_the_comparison_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", {"lesion_canvases": {"other": {}}})
    with pytest.raises(DataError, match="does not compare own with the grading set"):
        read_same_eye(tmp_path / "report.json", "own")
