"""The loop: it learns, keeps the best, resumes exactly, and stops on nonsense."""

import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from dr_pipeline.errors import DataError, EnvironmentProblem, GateError, ParamsError
from dr_pipeline.models.factory import create_grader
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.load import load_section
from dr_pipeline.params.training import Training
from dr_pipeline.training.augment import augmenter
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.dataset import GradedCanvases
from dr_pipeline.training.launch import check_trainable
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
    assert not (tmp_path / "last.pt").exists()


class Bursts(torch.nn.Module):
    """A grader whose outputs are not finite from the given training step on."""

    def __init__(self, first_bad_step: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 5)
        self.step, self.first_bad_step = 0, first_bad_step

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.step += self.training
        logits: torch.Tensor = self.layer(images.float().mean((1, 2)) / 255)
        return logits * (float("nan") if self.training and self.step >= self.first_bad_step else 1.0)


def fit_module(
    folder: Path, grader: torch.nn.Module, *, ids: range = range(41), batch: int = 8, rows: list[Epoch] | None = None
) -> Trained:
    return fit(
        Fabric(accelerator="cpu", devices=1),
        grader,
        photographs(ids, augmented=False),
        photographs(range(100, 120), augmented=False),
        candidate=CANDIDATE.model_copy(update={"batch_photographs": batch}),
        params=PARAMS,
        num_workers=0,
        checkpoint=Checkpoint(folder, "key"),
        on_epoch=(rows if rows is not None else []).append,
    )


def test_the_last_good_epoch_survives_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    rows: list[Epoch] = []
    with pytest.raises(GateError, match=r"the loss is nan at epoch 3, step 2, learning rate 0\.00\d+") as raised:
        fit_module(tmp_path, Bursts(2 * 5 + 2), rows=rows)
    assert "learning_rate" in raised.value.todo
    assert "of epoch 2" in raised.value.where
    state = Checkpoint(tmp_path, "key").load()
    assert state is not None
    assert len(state["history"]) == len(rows) == 2
    assert all(value.isfinite().all() for value in state["model"].values())


def test_weights_that_overflow_in_an_epochs_last_step_never_reach_the_checkpoint(tmp_path: Path) -> None:
    class Overflows(Bursts):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = super().forward(images)
            if self.training and self.step == 2 * 5:
                logits.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
            return logits

    with pytest.raises(GateError, match=r"the validation loss is nan at epoch 2, step 5"):
        fit_module(tmp_path, Overflows(1000))
    state = Checkpoint(tmp_path, "key").load()
    assert state is not None
    assert len(state["history"]) == 1
    assert all(value.isfinite().all() for value in state["average"].values())


def test_the_rate_counts_each_batchs_own_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("dr_pipeline.training.loop.time.perf_counter", lambda: float(next(clock)))
    trained = fit_module(tmp_path, Bursts(1000), ids=range(43))  # 8 8 8 8 8 3
    assert [row.images_per_s for row in trained.history] == [43.0] * 4


@pytest.mark.parametrize("full", [torch.OutOfMemoryError("CUDA out of memory."), None])
def test_out_of_memory_proposes_a_batch(tmp_path: Path, full: Exception | None) -> None:
    class Greedy(Bursts):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if full is not None:
                raise full
            return super().forward(images) + torch.empty(1 << 55).mean()

    with pytest.raises(EnvironmentProblem, match=r"8 photographs of 32 px.* GiB") as raised:
        fit_module(tmp_path, Greedy(1000))
    assert "batch_photographs from 8 to 4" in raised.value.todo


def test_another_runtime_error_passes_unchanged(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="must have the same dtype"):
        fit_module(tmp_path, torch.nn.Linear(3, 5))


def test_a_grade_without_photographs_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"grade 3, 4 to learn from.*0: 1, 1: 1, 2: 1, 3: 0, 4: 0"):
        fit_module(tmp_path, Bursts(1), ids=range(3))


def test_a_grade_that_the_data_do_not_hold_is_no_reason_to_stop() -> None:
    check_trainable(torch.nn.Linear(3, 5), [0, 1, 2, 2], [0, 2], 8)


def test_one_photograph_a_batch_is_refused_with_batch_normalisation_only(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="at least 2"):
        fit_module(tmp_path, torch.nn.Sequential(Bursts(1000), torch.nn.BatchNorm1d(5)), batch=1)
    assert fit_module(tmp_path, Bursts(1000), batch=1, ids=range(5)).history


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    checkpoint.save({"epoch": 1})
    before = checkpoint.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # the kernel stops the write in the middle
    try:
        with pytest.raises(EnvironmentProblem, match="is whole") as raised:
            checkpoint.save({"weights": torch.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "free 8 MB" in raised.value.todo
    assert checkpoint.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_damaged_checkpoint_and_one_with_code_in_it_are_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    checkpoint.path.write_bytes(b"")
    with pytest.raises(DataError, match="not a checkpoint"):
        checkpoint.load()
    torch.save({"key": "key", "payload": Path}, checkpoint.path)
    with pytest.raises(DataError, match="not a checkpoint"):
        checkpoint.load()
