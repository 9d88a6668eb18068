"""Pointing game, energy and rank correlation: known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from dr_pipeline.metrics.localisation import (
    TOLERANCE,
    Localisation,
    centre_prior,
    localisation_figures,
    localise,
    rank_correlation,
)


def peaked(row: int, column: int) -> np.ndarray:
    found = np.full((100, 120), -1, np.float32)
    found[row, column] = 4
    return found


LESION = np.zeros((100, 120), dtype=np.bool_)
LESION[40:44, 50:60] = True


@pytest.mark.parametrize(
    ("row", "column", "hit", "near"),
    [(41, 55, True, True), (46, 55, False, True), (47, 55, False, False), (99, 0, False, False)],
)
def test_the_strongest_place_hits_a_lesion_or_lies_near_one(row: int, column: int, hit: bool, near: bool) -> None:
    result = localise(peaked(row, column), LESION, radius_px=3 / TOLERANCE)  # a tolerance of 3 px
    assert (result.hit, result.near) == (hit, near)
    assert result.energy == float(hit)


def test_energy_is_the_part_of_what_is_above_zero() -> None:
    found = np.where(LESION, 3.0, 1.0).astype(np.float32)
    found[0] = -50
    assert localise(found, LESION, radius_px=50).energy == pytest.approx(120 / (120 + 99 * 120 - 40))


def test_a_map_that_is_nowhere_above_zero_has_no_energy() -> None:
    assert np.isnan(localise(np.zeros((100, 120), np.float32), LESION, radius_px=50).energy)


@pytest.mark.parametrize(
    ("found", "lesions"),
    [
        (np.zeros((10, 10), np.float32), LESION),
        (np.zeros((100, 120), np.float32), np.zeros_like(LESION)),
        (np.full((100, 120), np.nan, np.float32), LESION),
    ],
)
def test_what_cannot_be_compared_is_an_error(found: np.ndarray, lesions: np.ndarray) -> None:
    with pytest.raises(ValueError, match="map"):
        localise(found, lesions, radius_px=50)


def test_figures_count_undefined_energies_out_and_state_n() -> None:
    results = [Localisation(True, True, 0.5), Localisation(False, True, 0.1), Localisation(False, False, float("nan"))]
    figures = localisation_figures(results, ["a", "b", "c"], replicates=50, seed=1, confidence=0.95)
    assert figures["pointing_game"]["value"] == pytest.approx(2 / 3)
    assert figures["pointing_game_exact"]["value"] == pytest.approx(1 / 3)
    assert figures["energy"]["value"] == pytest.approx(0.3)
    assert all(figure["n"] == 3 for figure in figures.values())


def test_the_centre_prior_is_highest_in_the_middle_and_ends_with_the_disc() -> None:
    prior = centre_prior(100, 120, x=60, y=50, radius_px=40)
    assert np.unravel_index(prior.argmax(), prior.shape) in [(49, 59), (49, 60), (50, 59), (50, 60)]
    assert prior[50, 60 + 41] == 0 < prior[50, 60 + 38]


@given(
    values=st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=30).filter(
        lambda pairs: all(len(set(side)) > 1 for side in zip(*pairs, strict=True))
    )
)
def test_rank_correlation_is_scipys(values: list[tuple[int, int]]) -> None:
    one, other = np.array(values, np.float64).T
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic, abs=1e-12)


def test_the_rank_correlation_of_a_constant_is_undefined() -> None:
    assert np.isnan(rank_correlation(np.zeros(5), np.arange(5.0)))
