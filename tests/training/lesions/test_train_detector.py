"""Boxes of masks, and two steps of a training on them."""

from pathlib import Path

import numpy as np
import pytest

from dr_pipeline.lesions.kinds import HEMORRHAGES
from dr_pipeline.models.detector import detector_from_params
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.lesions.lesion_data import lesion_data
from dr_pipeline.training.lesions.tiles import TileSampler
from dr_pipeline.training.lesions.train_detector import BoxSampler, detector_key, lesion_boxes, train_detector
from tests.factories.lesion_sets import training, write_store


def test_boxes_of_components() -> None:
    shown = np.zeros((32, 32), np.uint8)
    shown[4:12, 6:10] = 1
    shown[20, 20] = shown[21, 21] = 1  # they touch at a corner
    shown[28:32, 31] = 1  # cut by the tile's border
    assert lesion_boxes(shown, 1).tolist() == [[6, 4, 10, 12], [20, 20, 22, 22], [31, 28, 32, 32]]
    assert lesion_boxes(shown, 6).tolist() == [[5, 4, 11, 12], [18, 18, 24, 24], [28.5, 27, 34.5, 33]]
    assert lesion_boxes(np.zeros((8, 8), np.uint8), 6).shape == (0, 4)


def test_tiles_carry_the_boxes_of_their_masks(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    tiles = TileSampler(store, list(store.rows), (HEMORRHAGES,), training(batch_tiles=8))
    batch, masks = BoxSampler(tiles, 6).batch(0, 0), tiles.batch(0, 0).shown
    assert [len(boxes) > 0 for boxes in batch.boxes] == masks.any(axis=(1, 2, 3)).tolist()


def test_a_training_of_two_steps_resumes_to_the_same_weights(tmp_path: Path) -> None:
    params = training(decoder_channels=16, batch_tiles=2, tiles_per_photograph=1)
    data = lesion_data(write_store(tmp_path / "store", photographs=4), (HEMORRHAGES,), 0)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    key = detector_key(params, data)
    with pytest.raises(KeyboardInterrupt):
        train_detector(params, data, Checkpoint(tmp_path / "resumed", key), on_epoch=stop)
    rows = []
    resumed = train_detector(params, data, Checkpoint(tmp_path / "resumed", key), on_epoch=rows.append)
    whole = train_detector(params, data, Checkpoint(tmp_path / "whole", key), on_epoch=rows.append)
    assert [row.epoch for row in rows] == [1, 0, 1]
    assert all(resumed.tensors[name].equal(tensor) for name, tensor in whole.tensors.items())
    network, _ = detector_from_params(params)
    network.load_state_dict(whole.tensors)
