"""The loop: it trains, keeps the best epoch, resumes exactly, splits batches exactly, and stops on errors."""

import inspect
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision

from dr_pipeline.errors import DataError, EnvironmentProblem, GateError, ParamsError
from dr_pipeline.tables.history import EpochRow
from dr_pipeline.training import loop
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.data.batch import Batch
from dr_pipeline.training.loop import FitResult
from tests.factories.training import CANDIDATE, PARAMS, grader_for, photographs, same, section, train

pytestmark = pytest.mark.slow


def test_the_loop_is_one_readable_file() -> None:
    assert len(inspect.getsource(loop).splitlines()) <= 200


def test_it_learns_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    trained = train(tmp_path, candidate=CANDIDATE.model_copy(update={"epochs": 8}))
    assert trained.best.validation_qwk == max(row.validation_qwk for row in trained.history)
    assert trained.best.validation_qwk > 0.6
    assert [row.epoch for row in trained.history] == list(range(8))


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path, probability: float) -> None:
    params = section(PARAMS, "mixing", probability=probability)

    def stop(row: EpochRow) -> None:
        if row.epoch == 1:
            raise KeyboardInterrupt

    whole = train(tmp_path / "whole", params=params)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", params=params, on_epoch=stop)
    torch.rand(7)  # the global generator stands elsewhere when it goes on
    resumed = train(tmp_path / "broken", params=params)
    assert same(whole.weights, resumed.weights)
    assert [row.validation_qwk for row in whole.history] == [row.validation_qwk for row in resumed.history]


def test_half_precision_trains_and_resumes_with_its_loss_scale(tmp_path: Path) -> None:
    def half(scale: float) -> Fabric:
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        return Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler))

    def stop(_row: EpochRow) -> None:
        raise KeyboardInterrupt

    params = PARAMS.model_copy(update={"precision": "16-mixed"})
    whole = train(tmp_path / "whole", params=params, fabric=half(512.0))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", params=params, fabric=half(512.0), on_epoch=stop)
    fabric = half(65536.0)
    assert same(whole.weights, train(tmp_path / "broken", params=params, fabric=fabric).weights)
    assert fabric.strategy.precision.state_dict()["scale"] == 512.0


def test_the_best_finished_epoch_can_be_taken(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no epoch has finished"):
        train(tmp_path, take_best=True)

    def stop(row: EpochRow) -> None:
        if row.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, on_epoch=stop)
    resumed_best = train(tmp_path, take_best=True)
    state = Checkpoint(tmp_path, "key").load()
    assert state is not None
    assert len(resumed_best.history) == 2
    assert same(resumed_best.weights, state["best_weights"])


def test_loader_processes_do_not_change_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # loader processes live on from one epoch to the next; torch's loader draws a seed from the generator of dropout
    short = CANDIDATE.model_copy(update={"epochs": 2, "drop_rate": 0.0})
    in_process = train(tmp_path / "0", candidate=short)
    monkeypatch.setattr("dr_pipeline.training.loop.num_loader_workers", lambda _fabric: 1)
    assert same(in_process.weights, train(tmp_path / "1", candidate=short).weights)


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_sampling_follows_the_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampling: str) -> None:
    training = photographs([*range(0, 150, 5), 1, 2, 3, 4], augmented=True)  # grade 0 thirty times, the others once
    drawn: list[int] = []

    class Noting(loop.BatchBuilder):
        def build(self, images: torch.Tensor, positions: torch.Tensor, *, seed: int) -> Batch:
            drawn.extend(training.grades[positions].tolist())
            return super().build(images, positions, seed=seed)

    monkeypatch.setattr("dr_pipeline.training.loop.BatchBuilder", Noting)
    params = section(PARAMS, "balance", weights="none", sampling=sampling)
    train(tmp_path, train_set=training, params=params, candidate=CANDIDATE.model_copy(update={"epochs": 1}))
    assert len(drawn) == 34
    assert drawn.count(0) == (30 if sampling == "natural" else pytest.approx(34 / 5, abs=1))


def gradients(folder: Path, monkeypatch: pytest.MonkeyPatch, accumulation: int, loss: str) -> dict[str, torch.Tensor]:
    """Of the first step on 41 photographs at once, in float64, with batch normalisation's statistics held."""
    candidate = section(CANDIDATE, "memory", accumulation=accumulation)
    candidate = candidate.model_copy(update={"batch_photographs": 41, "epochs": 1, "drop_rate": 0.0})
    params = section(PARAMS, "objective", loss=loss)
    fabric = Fabric(accelerator="cpu", devices=1, precision="64-true")
    seen: dict[str, torch.Tensor] = {}

    def note(model: torch.nn.Module, *_args: object, **_named: object) -> None:
        seen.update({name: parameter.grad.clone() for name, parameter in model.named_parameters()})  # type: ignore[union-attr]

    monkeypatch.setattr(fabric, "clip_gradients", note)
    monkeypatch.setattr("dr_pipeline.training.loop.freeze_batch_norm_statistics", torch.nn.Module.eval)
    train(folder, fabric=fabric, candidate=candidate, params=params)
    return seen


@pytest.mark.parametrize("loss", ["cross_entropy", "coral"])
def test_microbatches_give_the_same_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    whole, parts = (gradients(tmp_path / str(num), monkeypatch, num, loss) for num in (1, 4))
    assert sum(gradient.abs().sum().item() for gradient in whole.values()) > 1
    for name, gradient in whole.items():
        assert torch.allclose(gradient, parts[name], rtol=1e-5, atol=1e-7), name


def test_frozen_layers_do_not_change_until_they_are_unfrozen(tmp_path: Path) -> None:
    candidate = section(CANDIDATE, "fine_tuning", frozen_epochs=1, thaw_epochs=2).model_copy(update={"epochs": 3})
    grader = grader_for(candidate)
    first = {name: value.clone() for name, value in grader.state_dict().items()}
    stages: list[set[str]] = []  # what has moved after each epoch, running statistics included

    def look(_row: EpochRow) -> None:
        stages.append({name for name, value in grader.state_dict().items() if not torch.equal(value, first[name])})

    train(tmp_path, grader, candidate=candidate, on_epoch=look)
    assert stages[0] == {"backbone.fc.weight", "backbone.fc.bias"}
    assert any("layer4" in name for name in stages[1])
    assert not any("conv1.0" in name for name in stages[1])
    assert any("conv1.0" in name for name in stages[2])
    assert any("running_mean" in name for name in stages[2])


def test_the_learning_rate_decays_towards_the_first_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    adam_w = torch.optim.AdamW
    monkeypatch.setattr(
        "torch.optim.AdamW", lambda groups, **options: made.append(adam_w(groups, **options)) or made[-1]
    )
    candidate = section(CANDIDATE, "fine_tuning", layer_decay=0.5).model_copy(update={"epochs": 1})
    row = train(tmp_path, grader_for(), candidate=candidate).best
    rates = {group["initial_lr"] for group in made[0].param_groups}
    assert max(rates) == candidate.learning_rate
    assert min(rates) < 0.1 * candidate.learning_rate
    assert row.learning_rate == max(group["lr"] for group in made[0].param_groups)


@pytest.mark.parametrize("loss", ["focal", "regression", "corn", "coral", "soft_ordinal", "soft_kappa"])
def test_every_objective_learns(tmp_path: Path, loss: str) -> None:
    candidate = CANDIDATE.model_copy(update={"epochs": 6, "drop_rate": 0.0})
    trained = train(tmp_path, candidate=candidate, params=section(PARAMS, "objective", loss=loss))
    assert trained.best.validation_qwk > 0.4
    assert trained.history[-1].validation_loss < trained.history[0].validation_loss


def test_a_teacher_with_the_whole_weight_is_followed(tmp_path: Path) -> None:
    """With the whole weight on a teacher that reverses the grades, the student's QWK turns negative."""
    training = photographs(range(41), augmented=True)
    training.teacher = 8.0 * torch.nn.functional.one_hot(4 - training.grades, 5)
    params = section(PARAMS, "distillation", weight=1.0)
    trained = train(tmp_path, train_set=training, params=params, candidate=CANDIDATE.model_copy(update={"epochs": 6}))
    assert trained.history[-1].validation_qwk < 0.1  # the order is the reverse, of which no cut points make a kappa


def test_the_task_is_compiled_where_params_set_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    compile_ = torch.compile

    def traced(function: object, **_options: object) -> object:  # without the compiler behind it, the same bits
        compiled.append(function)
        return compile_(function, backend="eager")

    monkeypatch.setattr("torch.compile", traced)
    short = CANDIDATE.model_copy(update={"epochs": 1})
    plain = train(tmp_path / "a", candidate=short)
    assert compiled == []
    made = train(tmp_path / "b", candidate=short, params=PARAMS.model_copy(update={"compile": True}))
    assert len(compiled) == 2  # the trial, and the task
    assert same(plain.weights, made.weights)


def test_a_missing_compiler_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_function: object, **_options: object) -> None:
        raise RuntimeError("no working C++ compiler found\nand a long story")

    monkeypatch.setattr("torch.compile", fail)
    with pytest.raises(EnvironmentProblem, match="no working C\\+\\+ compiler found\n") as raised:
        train(tmp_path, params=PARAMS.model_copy(update={"compile": True}))
    assert "training.compile" in raised.value.where


def test_a_loss_that_is_not_finite_stops_and_reports_the_step(tmp_path: Path) -> None:
    absurd = CANDIDATE.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(GateError, match=r"epoch 1, step \d"):
        train(tmp_path, candidate=absurd)
    assert not (tmp_path / "last.pt").exists()


class Bursts(torch.nn.Module):
    """A grader whose outputs are not finite from the given training step on."""

    def __init__(self, first_bad_step: int) -> None:
        super().__init__()
        self.backbone, self.head = torch.nn.Linear(3, 5), torch.nn.Identity()
        self.step, self.first_bad_step = 0, first_bad_step

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        self.step += self.training
        logits: torch.Tensor = self.backbone(images.float().mean((1, 2)) / 255)
        return logits * (float("nan") if self.training and self.step >= self.first_bad_step else 1.0)


def train_bursts(folder: Path, grader: torch.nn.Module, *, ids: range = range(41), **changes: object) -> FitResult:
    return train(folder, grader, train_set=photographs(ids, augmented=False), **changes)


def test_the_last_good_epoch_survives_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    rows: list[EpochRow] = []
    with pytest.raises(GateError, match=r"the loss is nan at epoch 3, step 2, learning rate 0\.0\d+") as raised:
        train_bursts(tmp_path, Bursts(2 * 5 + 2), on_epoch=rows.append)
    assert "learning_rate" in raised.value.todo
    assert "of epoch 2" in raised.value.where
    state = Checkpoint(tmp_path, "key").load()
    assert state is not None
    assert len(state["history"]) == len(rows) == 2
    assert all(value.isfinite().all() for value in state["model"].values())


def test_weights_that_overflow_in_an_epochs_last_step_never_reach_the_checkpoint(tmp_path: Path) -> None:
    class Overflows(Bursts):
        def outputs(self, images: torch.Tensor) -> torch.Tensor:
            logits = super().outputs(images)
            if self.training and self.step == 2 * 5:
                logits.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
            return logits

    with pytest.raises(GateError, match=r"the validation loss is nan at epoch 2, step 5"):
        train_bursts(tmp_path, Overflows(1000))
    state = Checkpoint(tmp_path, "key").load()
    assert state is not None
    assert len(state["history"]) == 1
    assert all(value.isfinite().all() for value in state["average"].values())


def test_the_rate_counts_each_batchs_own_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("dr_pipeline.training.loop.time.perf_counter", lambda: float(next(clock)))
    trained = train_bursts(tmp_path, Bursts(1000), ids=range(43))  # 8 8 8 8 8 3
    assert [row.images_per_s for row in trained.history] == [43.0] * 4


@pytest.mark.parametrize("full", [torch.OutOfMemoryError("CUDA out of memory."), None])
def test_out_of_memory_in_a_step_gives_advice(tmp_path: Path, full: Exception | None) -> None:
    class Greedy(Bursts):
        def outputs(self, images: torch.Tensor) -> torch.Tensor:
            if full is not None:
                raise full
            return super().outputs(images) + torch.empty(1 << 55).mean()

    with pytest.raises(EnvironmentProblem, match=r"8 photographs of 32 px.* GiB") as raised:
        train_bursts(tmp_path, Greedy(1000))
    assert "memory.accumulation from 1 to 2" in raised.value.todo
    assert "memory.gradient_checkpointing: true" in raised.value.todo
    assert "batch_photographs from 8 to 4" in raised.value.todo


def test_another_runtime_error_passes_unchanged(tmp_path: Path) -> None:
    class Wrong(Bursts):
        def outputs(self, images: torch.Tensor) -> torch.Tensor:
            return self.backbone(images)  # type: ignore[no-any-return]

    with pytest.raises(RuntimeError, match="must have the same dtype"):
        train_bursts(tmp_path, Wrong(1))


def test_a_grade_without_photographs_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no training photograph of grade 3, 4; .*0: 1, 1: 1, 2: 1, 3: 0, 4: 0"):
        train_bursts(tmp_path, Bursts(1), ids=range(3))


def test_one_photograph_at_once_is_refused_with_batch_normalisation_only(tmp_path: Path) -> None:
    parts = section(CANDIDATE, "memory", accumulation=8)
    with pytest.raises(ParamsError, match="at least 2 photographs at once, found 1"):
        train(tmp_path, candidate=parts)
    assert train_bursts(tmp_path, Bursts(1000), candidate=parts).history
