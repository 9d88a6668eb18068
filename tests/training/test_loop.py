"""The loop: it learns, keeps the best, resumes exactly, and stops on nonsense."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from dr_pipeline.errors import GateError
from dr_pipeline.models.factory import create_grader
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.load import load_section
from dr_pipeline.params.training import Training
from dr_pipeline.training.augment import augmenter
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.dataset import GradedCanvases
from dr_pipeline.training.loop import Epoch, Trained, fit

PARAMS = load_section(Path(__file__).resolve().parents[2] / "params.yaml", "training", Training)
# brightness is what tells the grades apart here
AUGMENTATION = PARAMS.augmentation.model_copy(update={"brightness": 0.0, "contrast": 0.0})
CANDIDATE = Candidate(
    model="resnet10t", weights="none", input_px=32, epochs=4, batch_photographs=8, learning_rate=0.003, drop_rate=0.2,
    drop_path_rate=0.0,
)  # fmt: skip


class Store:
    """Canvases whose brightness is the grade."""

    def read(self, image_id: str) -> np.ndarray:
        grade = int(image_id) % 5
        noise = np.random.default_rng(int(image_id)).integers(0, 20, (32, 32, 3))
        return (noise + 45 * grade).astype(np.uint8)


def photographs(ids: range, *, augmented: bool) -> GradedCanvases:
    return GradedCanvases(
        Store(),  # type: ignore[arg-type]
        [str(number) for number in ids],
        [number % 5 for number in ids],
        input_px=32,
        augment=augmenter(AUGMENTATION) if augmented else None,
        seed=1,
    )


def train(
    folder: Path, *, candidate: Candidate = CANDIDATE, stop_after: int | None = None, workers: int = 0
) -> Trained:
    torch.manual_seed(3)
    grader = create_grader(candidate.model, input_px=32, drop_rate=candidate.drop_rate, drop_path_rate=0.0)

    def on_epoch(row: Epoch) -> None:
        if row.epoch == stop_after:
            raise KeyboardInterrupt

    return fit(
        Fabric(accelerator="cpu", devices=1),
        grader,
        photographs(range(41), augmented=True),
        photographs(range(100, 120), augmented=False),
        candidate=candidate,
        params=PARAMS,
        num_workers=workers,
        checkpoint=Checkpoint(folder, "key"),
        on_epoch=on_epoch,
    )


def test_it_learns_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    trained = train(tmp_path, candidate=CANDIDATE.model_copy(update={"epochs": 8}))
    assert trained.best.validation_qwk == max(row.validation_qwk for row in trained.history)
    assert trained.best.validation_qwk > 0.6
    assert [row.epoch for row in trained.history] == list(range(8))


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", stop_after=1)
    resumed = train(tmp_path / "broken")
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    assert [row.validation_qwk for row in whole.history] == [row.validation_qwk for row in resumed.history]


def test_loader_processes_do_not_change_what_is_learnt(tmp_path: Path) -> None:
    short = CANDIDATE.model_copy(update={"epochs": 1})
    here, there = train(tmp_path / "a", candidate=short), train(tmp_path / "b", candidate=short, workers=1)
    assert all(torch.equal(here.weights[name], there.weights[name]) for name in here.weights)


def test_a_checkpoint_of_other_parameters_is_left_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Checkpoint(tmp_path, "one").save({"epoch": 1})
    assert Checkpoint(tmp_path, "one").load() == {"key": "one", "epoch": 1}
    assert Checkpoint(tmp_path, "other").load() is None
    assert "starts anew" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_and_says_where(tmp_path: Path) -> None:
    absurd = CANDIDATE.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(GateError, match=r"epoch 1, step \d"):
        train(tmp_path, candidate=absurd)
