"""Graded canvases and their loader: what depends on the seed, and errors that name the photograph."""

import itertools
import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from dr_pipeline.errors import DataError, EnvironmentProblem
from dr_pipeline.params.params_file import load_section
from dr_pipeline.params.training import Training
from dr_pipeline.training.data.augmentation import augmenter
from dr_pipeline.training.data.canvas_dataset import BatchLoader, GradedCanvases
from dr_pipeline.training.data.sampler import EpochBatchSampler, SampleKey
from tests.factories import REPOSITORY

AUGMENTATION = load_section(REPOSITORY / "params.yaml", "training", Training).augmentation


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


def test_a_sample_depends_on_seed_and_key_alone() -> None:
    one, other = data(augment=True), data(augment=True)
    draws = [SampleKey(0, 2, 0), SampleKey(0, 3, 0), SampleKey(0, 3, 1), SampleKey(1, 3, 0)]
    expected = {draw: other[draw][0] for draw in reversed(draws)}  # drawn in another order
    for draw in draws:
        assert torch.equal(one[draw][0], expected[draw])
    for first, second in itertools.combinations(draws[1:], 2):  # another epoch, or once more in the same
        assert not torch.equal(expected[first], expected[second])


def test_without_augmentation_the_input_equals_that_of_scoring() -> None:
    from dr_pipeline.fundus.pixel_path import model_input

    image, position = data(augment=False)[SampleKey(9, 4, 0)]
    assert torch.equal(image, torch.from_numpy(model_input(Store().read("4"), 32)))
    assert position == 4


def test_loading_does_not_use_the_global_generator() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert len(list(BatchLoader(data(augment=True), in_order(2), 0))) == 3
    assert torch.equal(torch.get_rng_state(), before)


def in_order(batch: int) -> EpochBatchSampler:
    return EpochBatchSampler([0] * 6, batch, shuffle=False, seed=0)


class Broken(Store):
    """A store where photograph 3 cannot be read, or kills its reader."""

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
    monkeypatch.setattr("dr_pipeline.training.data.canvas_dataset.MEMORY_BYTES", 0)  # each is read when it is drawn
    ids = [str(number) for number in range(6)]
    store = Broken(fault)
    return GradedCanvases(store, ids, [0] * 6, input_px=32, augment=None, seed=5)


@pytest.mark.parametrize("fault", ["damaged", "disk"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_canvas_that_cannot_be_read_is_named(fault: str, num_workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = BatchLoader(broken(fault, monkeypatch), in_order(2), num_workers)
    stream = iter(batches)
    assert len(next(stream)[1]) == 2
    with pytest.raises(DataError, match="the canvas of '3' cannot be read") as raised:
        next(stream)
    assert "Traceback" not in str(raised.value)
    assert raised.value.where == ("shard-00001.tar" if fault == "damaged" else "")


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_loader_process_that_dies_names_its_photograph(num_workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)  # not 5 s
    batches = BatchLoader(broken("deadly", monkeypatch), in_order(2), num_workers)
    with pytest.raises(EnvironmentProblem, match="a loader process died") as raised:
        list(batches)
    assert raised.value.where == "photograph '3'"


def test_a_loader_process_that_dies_while_a_batch_is_fetched_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = BatchLoader(broken("deadly", monkeypatch), in_order(2), 1)
    with pytest.raises(EnvironmentProblem):
        list(batches)  # the process has died on photograph 3

    def fetch() -> Iterator[None]:
        raise EOFError
        yield

    batches._loader = fetch()
    with pytest.raises(EnvironmentProblem, match="a loader process died: EOFError") as raised:
        list(batches)
    assert raised.value.where == "photograph '3'"


def test_each_photograph_is_in_one_batch_and_the_last_is_short() -> None:
    batches = BatchLoader(data(augment=False), in_order(4), 0)
    assert len(batches) == 2
    assert [positions.tolist() for _, positions in batches] == [[0, 1, 2, 3], [4, 5]]
