"""What the loop is fed: photographs, augmentation, learning rate, averaging."""

import itertools
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from dr_pipeline.errors import DataError, EnvironmentProblem
from dr_pipeline.params.load import load_section
from dr_pipeline.params.training import Augmentation, Training
from dr_pipeline.training.augment import augmenter
from dr_pipeline.training.dataset import Batches, GradedCanvases, derived_seed
from dr_pipeline.training.order import EpochBatches
from dr_pipeline.training.schedule import MovingAverage, warmup_cosine

REPOSITORY = Path(__file__).resolve().parents[2]
AUGMENTATION = load_section(REPOSITORY / "params.yaml", "training", Training).augmentation
ALL_OFF = Augmentation(
    rotation_deg=0.0, flip=False, scale=0.0, translation=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0,
    blur_probability=0.0, jpeg_probability=0.0, coarse_dropout_probability=0.0,
)  # fmt: skip


class Store:
    """Stands for a CanvasStore: noise canvases, each its own."""

    def read(self, image_id: str) -> np.ndarray:
        return np.random.default_rng(int(image_id)).integers(0, 256, (48, 48, 3), dtype=np.uint8)


def data(*, augment: bool) -> GradedCanvases:
    return GradedCanvases(
        Store(),
        [str(number) for number in range(6)],
        [0, 1, 2, 3, 4, 0],
        input_px=32,
        augment=augmenter(AUGMENTATION) if augment else None,
        seed=5,
    )


def test_a_photograph_depends_on_seed_epoch_and_position_alone() -> None:
    one, other = data(augment=True), data(augment=True)
    wanted = {index: other[index][0] for index in [(1, 3), (0, 2), (0, 3)]}  # drawn in another order
    for index in [(0, 2), (0, 3), (1, 3)]:
        assert torch.equal(one[index][0], wanted[index])
    assert not torch.equal(wanted[0, 3], wanted[1, 3])


def test_without_augmentation_the_model_sees_what_scoring_sees() -> None:
    from dr_pipeline.fundus.pixel_path import model_input

    image, position = data(augment=False)[9, 4]
    assert torch.equal(image, torch.from_numpy(model_input(Store().read("4"), 32)))
    assert position == 4


def test_augmentation_keeps_shape_type_and_can_be_off() -> None:
    canvas = Store().read("1")
    changed = augmenter(AUGMENTATION)(canvas, 1)
    assert changed.shape == canvas.shape
    assert changed.dtype == np.uint8
    assert np.array_equal(augmenter(ALL_OFF)(canvas, 1), canvas)


@pytest.mark.parametrize(
    "change",
    [
        {"rotation_deg": 90.0}, {"flip": True}, {"scale": 0.2}, {"translation": 0.2}, {"brightness": 0.3},
        {"contrast": 0.3}, {"saturation": 0.3}, {"hue": 0.1}, {"blur_probability": 1.0}, {"jpeg_probability": 1.0},
    ],
)  # fmt: skip
def test_each_augmentation_parameter_has_an_effect(change: dict[str, float]) -> None:
    canvas = Store().read("1")
    augment = augmenter(ALL_OFF.model_copy(update=change))
    assert any(not np.array_equal(augment(canvas, seed), canvas) for seed in range(4))


def test_augmentation_never_loses_the_disc() -> None:
    """A white disc stays mostly in view at the default strengths: no crop takes the periphery away."""
    yy, xx = np.mgrid[:128, :128] - 63.5
    canvas = np.repeat(((xx**2 + yy**2 < 63**2) * 200).astype(np.uint8)[..., None], 3, axis=2)
    augment = augmenter(AUGMENTATION)
    shares = [(augment(canvas, seed)[..., 0] > 60).sum() / (canvas[..., 0] > 0).sum() for seed in range(50)]
    assert min(shares) > 0.8


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    rates = [warmup_cosine(step, num_steps=100, warmup_share=0.1) for step in range(100)]
    assert np.allclose(rates[:10], np.linspace(0.1, 1.0, 10))
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert 0 <= rates[-1] < 0.001


def test_the_average_forgets_its_random_start() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = AveragedModel(model, multi_avg_fn=MovingAverage(0.999), use_buffers=True)
    torch.nn.init.constant_(model.weight, 1.0)
    torch.nn.init.constant_(average.module.weight, 100.0)
    for _ in range(100):
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(1.0, abs=1e-3)


def test_derived_seeds_differ() -> None:
    assert len({derived_seed(1, epoch, position) for epoch in range(20) for position in range(50)}) == 1000


def in_order(batch: int) -> EpochBatches:
    return EpochBatches([0] * 6, batch, shuffle=False, seed=0)


class Broken(Store):
    """A store where photograph 3 cannot be read, or takes its reader with it."""

    def __init__(self, fault: str) -> None:
        self.fault, self.home = fault, os.getpid()

    def read(self, image_id: str) -> np.ndarray:
        if image_id == "3" and self.fault == "damaged":
            raise DataError("the picture is cut off", where="shard-00001.tar")
        if image_id == "3" and self.fault == "disk":
            raise OSError(5, "Input/output error")
        if image_id == "3" and os.getpid() != self.home:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(image_id)


def broken(fault: str, monkeypatch: pytest.MonkeyPatch) -> GradedCanvases:
    monkeypatch.setattr("dr_pipeline.training.dataset.MEMORY_BYTES", 0)  # each is read when it is drawn
    ids = [str(number) for number in range(6)]
    store = Broken(fault)
    return GradedCanvases(store, ids, [0] * 6, input_px=32, augment=None, seed=5)


@pytest.mark.parametrize("fault", ["damaged", "disk"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_canvas_that_cannot_be_read_is_named(fault: str, num_workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = Batches(broken(fault, monkeypatch), in_order(2), num_workers)
    stream = iter(batches)
    assert len(next(stream)[1]) == 2
    with pytest.raises(DataError, match="the canvas of '3' cannot be read") as raised:
        next(stream)
    assert "Traceback" not in str(raised.value)
    assert raised.value.where == ("shard-00001.tar" if fault == "damaged" else "")


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_loader_process_that_dies_names_its_photograph(num_workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)  # not 5 s
    batches = Batches(broken("deadly", monkeypatch), in_order(2), num_workers)
    with pytest.raises(EnvironmentProblem, match="a loader process died") as raised:
        list(batches)
    assert raised.value.where == "photograph '3'"


def test_batches_hold_every_photograph_once_the_last_one_short() -> None:
    batches = Batches(data(augment=False), in_order(4), 0)
    assert len(batches) == 2
    assert [positions.tolist() for _, positions in batches] == [[0, 1, 2, 3], [4, 5]]
