"""Tiles show what the masks show, around lesions and anywhere, the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.lesions.kinds import HARD_EXUDATES, HEMORRHAGES, OPTIC_DISC
from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.params.section import validate
from dr_pipeline.training.lesions.lesion_data import lesion_data
from dr_pipeline.training.lesions.tiles import TileSampler
from tests.factories.lesion_sets import KINDS, training, write_store


def sampler(folder: Path, **changes: float) -> TileSampler:
    store = write_store(folder)
    return TileSampler(store, list(store.rows), KINDS, training(**changes))


def test_masks_follow_the_pixels_through_every_transform(tmp_path: Path) -> None:
    batch = sampler(tmp_path, batch_tiles=32).batch(0, 0)
    assert batch.images.shape == (32, 64, 64, 3)
    assert batch.shown.shape == (32, 2, 64, 64)
    assert batch.labelled.all()
    blue, red = batch.images[..., 2].astype(int), batch.images[..., 0].astype(int)
    inside, outside = batch.images.any(axis=-1) & (batch.shown[:, 1] > 0), batch.images.any(axis=-1)
    ground = outside & ~batch.shown.any(axis=1)
    assert np.median(blue[inside]) > 2 * np.median(blue[ground])  # exudates are bright
    assert np.median(red[batch.shown[:, 0] > 0]) < 0.6 * np.median(red[ground])  # hemorrhages are dark


def test_a_tile_depends_on_its_seed_alone(tmp_path: Path) -> None:
    one, other = sampler(tmp_path / "a"), sampler(tmp_path / "b")
    first = one.batch(1, 5)
    other.batch(0, 0)
    assert np.array_equal(first.images, other.batch(1, 5).images)
    assert not np.array_equal(first.images, other.batch(1, 6).images)


def test_the_fraction_of_tiles_around_lesions(tmp_path: Path) -> None:
    around = sampler(tmp_path / "a", batch_tiles=40, lesion_tiles=1.0).batch(0, 0).shown
    anywhere = sampler(tmp_path / "b", batch_tiles=40, lesion_tiles=0.0).batch(0, 0).shown
    assert around.any(axis=(1, 2, 3)).mean() > 0.95
    assert around.any(axis=(1, 2, 3)).mean() > anywhere.any(axis=(1, 2, 3)).mean()


def test_mean_pixels_are_those_of_the_batches_that_are_drawn(tmp_path: Path) -> None:
    tiles = sampler(tmp_path, batch_tiles=4)
    drawn = np.mean([tiles.batch(0, number).shown.sum(axis=(0, 2, 3)) for number in range(64)], axis=0)
    assert tiles.mean_pixels() == pytest.approx(drawn.tolist())
    assert min(tiles.mean_pixels()) > 0


def test_a_kind_that_was_not_annotated_is_marked_and_draws_no_tile(tmp_path: Path) -> None:
    store = write_store(tmp_path, labelled=dict.fromkeys(range(5), (HARD_EXUDATES,)))
    batch = TileSampler(store, ["p1", "p2"], KINDS, training(batch_tiles=16, lesion_tiles=1.0)).batch(0, 0)
    assert batch.labelled.tolist() == [[False, True]] * 16
    assert batch.shown[:, 1].any(axis=(1, 2)).mean() > 0.9


def test_training_photographs_are_those_outside_the_fold(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    assert lesion_data(store, KINDS, 0).image_ids == ("p1", "p3", "p5")
    assert lesion_data(store, KINDS, None).image_ids == tuple(store.rows)


def test_a_kind_that_no_training_photograph_shows_is_refused(tmp_path: Path) -> None:
    store = write_store(tmp_path, labelled=dict.fromkeys((1, 3, 5), (HARD_EXUDATES,)))
    with pytest.raises(DataError, match=r"none of 3 training photographs shows hemorrhages \(not annotated\)"):
        lesion_data(store, KINDS, 0)
    with pytest.raises(DataError, match="optic_disc"):
        lesion_data(store, (HEMORRHAGES, OPTIC_DISC), None)


@pytest.mark.parametrize("changes", [{"camera": 0.5}, {"coarse_dropout_probability": 0.5}])
def test_augmentations_for_whole_canvases_are_refused(changes: dict[str, float]) -> None:
    values = training().model_dump(mode="json")
    values["augmentation"] |= changes
    with pytest.raises(ParamsError, match="made for whole canvases"):
        validate(values, LesionTraining, where="params.yaml")
