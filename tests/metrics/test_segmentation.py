"""Figures of outlined lesions: equal to scikit-learn's, memory-bounded, resampled by photograph."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from dr_pipeline.metrics.segmentation import (
    BINS,
    average_precision,
    confusion_at,
    counts_within,
    dice,
    histogram,
    pooled_average_precision,
)

SETTINGS = {"replicates": 200, "seed": 1, "confidence": 0.95}


def drawn(
    seed: int, *, prevalence: float = 0.02, sharpness: float = 3.0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Probabilities as a network gives them, most of them near 0, and the truth."""
    rng = np.random.default_rng(seed)
    shown = rng.random((64, 64)) < prevalence
    logits = rng.normal(-5, 1.5, shown.shape) + sharpness * shown
    return (1 / (1 + np.exp(-logits))).astype(np.float32), shown


def pooled(*histograms: NDArray[np.int64]) -> float:
    return float(average_precision(np.sum(histograms, axis=0, dtype=np.float64).reshape(1, -1))[0])


@given(st.integers(0, 10_000), st.floats(0.005, 0.5), st.floats(0, 8))
def test_average_precision_is_scikit_learns_on_the_bins(seed: int, prevalence: float, sharpness: float) -> None:
    counts = histogram(*drawn(seed, prevalence=prevalence, sharpness=sharpness))
    if counts[1].any():
        truth = np.repeat([0, 1], counts.sum(axis=1))
        bins = np.concatenate([np.repeat(np.arange(BINS), of_a_class) for of_a_class in counts])
        assert pooled(counts) == pytest.approx(average_precision_score(truth, bins), abs=1e-9)


@given(st.integers(0, 10_000), st.floats(0.05, 0.5), st.floats(0, 8))
def test_bins_cost_little_where_two_hundred_pixels_show_the_kind(
    seed: int, prevalence: float, sharpness: float
) -> None:
    # of twenty pixels, one without the kind in the bin of one that shows it cost 0.013
    probabilities, shown = drawn(seed, prevalence=prevalence, sharpness=sharpness)
    expected = average_precision_score(shown.ravel(), probabilities.ravel())
    assert pooled(histogram(probabilities, shown)) == pytest.approx(expected, abs=0.02)


def test_pixels_of_all_photographs_are_pooled_not_averaged() -> None:
    maps = [drawn(seed, prevalence=prevalence) for seed, prevalence in ((1, 0.01), (2, 0.2), (3, 0.0))]
    expected = average_precision_score(
        np.concatenate([shown.ravel() for _, shown in maps]), np.concatenate([found.ravel() for found, _ in maps])
    )
    estimate = pooled_average_precision([histogram(*one) for one in maps], ["a", "b", "c"], **SETTINGS)
    assert estimate.value == pytest.approx(expected, abs=0.005)
    assert estimate.n == 3


def test_known_answers() -> None:
    perfect = np.array([0.9, 0.8, 0.1, 0.2], np.float32)
    shown = np.array([True, True, False, False])
    assert pooled(histogram(perfect, shown)) == 1.0
    assert pooled(histogram(1 - perfect, shown)) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert np.isnan(pooled(histogram(perfect, np.zeros(4, np.bool_))))


def test_the_interval_is_of_photographs() -> None:
    histograms = [histogram(*drawn(seed)) for seed in range(30)]
    groups = [str(number) for number in range(30)]
    estimate = pooled_average_precision(histograms, groups, **SETTINGS)
    assert estimate.low < estimate.value < estimate.high
    twins = pooled_average_precision(histograms, [str(number // 15) for number in range(30)], **SETTINGS)
    assert np.isnan(twins.low)  # two groups say nothing about a third


@given(st.lists(st.floats(0, 1, width=32), max_size=50), st.floats(0.05, 0.95))
def test_the_histogram_holds_every_pixel_once(values: list[float], threshold: float) -> None:
    probabilities = np.array(values, np.float32)
    shown = np.arange(len(values)) % 2 == 0
    counts = histogram(probabilities, shown)
    assert counts.shape == (2, BINS)
    assert counts.sum(axis=1).tolist() == [int((~shown).sum()), int(shown.sum())]
    true, false, missed = confusion_at(counts, threshold)
    assert true + missed == shown.sum()
    assert false >= ((probabilities >= threshold) & ~shown).sum()  # the bin's lower edge


def test_dice_and_counts() -> None:
    probabilities, shown = np.array([0.9, 0.9, 0.3, 0.6], np.float32), np.array([True, False, True, False])
    confusion = confusion_at(histogram(probabilities, shown), 0.5)
    assert confusion.tolist() == [1, 2, 1]
    assert dice(confusion[None].astype(np.float64))[0] == pytest.approx(2 / 5)
    assert np.isnan(dice(np.zeros((1, 3)))[0])
    assert counts_within(np.array([0, 3, 5]), np.array([1, 3, 2])).tolist() == [True, True, False]


@pytest.mark.parametrize("wrong", [np.array([0.5, np.nan]), np.array([0.5, 1.5]), np.array([-0.1, 0.5])])
def test_what_is_no_probability_is_refused(wrong: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="not probabilities"):
        histogram(wrong.astype(np.float32), np.array([True, False]))
    with pytest.raises(ValueError, match="truth"):
        histogram(np.zeros(3, np.float32), np.array([True, False]))
