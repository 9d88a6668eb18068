"""The area's interval: known cases and repeated samples; labels are permuted by whole patients."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.audit.clustered_auc import auc_of_cells, clustered_auc, permute_labels
from dr_pipeline.metrics.curves import roc_auc


def test_counted_up_scores_give_the_area_of_single_ones() -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 6, 300).astype(float)
    positive = rng.random(300) < 0.1 + 0.1 * scores
    counts = [np.bincount(scores[kind].astype(int), minlength=6).astype(float) for kind in (positive, ~positive)]
    area = auc_of_cells(np.arange(6.0), *counts)
    assert math.isclose(area, roc_auc(scores, positive), abs_tol=1e-12)
    assert math.isclose(clustered_auc(scores, positive, np.arange(300), 0.95).value, area, abs_tol=1e-12)


def test_one_kind_only_has_no_area() -> None:
    assert math.isnan(clustered_auc(np.arange(5.0), np.ones(5, dtype=bool), np.arange(5), 0.95).value)


def test_the_interval_covers_the_truth_where_photographs_of_a_patient_are_copies() -> None:
    """Of patients with four like photographs; as if independent, intervals would be half as wide and miss."""
    rng = np.random.default_rng(7)
    truth, hits, tight = 0.7602, 0, 0
    for _ in range(400):
        sick = rng.random(80) < 0.5
        values = rng.normal(sick.astype(float), 1.0)
        scores, positive, blocks = np.repeat(values, 4), np.repeat(sick, 4), np.repeat(np.arange(80), 4)
        clustered = clustered_auc(scores, positive, blocks, 0.95)
        single = clustered_auc(scores, positive, np.arange(320), 0.95)
        hits += clustered.low <= truth <= clustered.high
        tight += single.low <= truth <= single.high
    assert 0.92 <= hits / 400 <= 0.98
    assert tight / 400 < 0.8


def test_few_patients_give_no_interval_or_an_honest_one() -> None:
    rng = np.random.default_rng(8)
    hits, finite = 0, 0
    for _ in range(400):
        sick = np.arange(40) < 8  # of 40 patients with ten like photographs each
        scores = np.repeat(rng.integers(0, 3, 40), 10).astype(float)
        found = clustered_auc(scores, np.repeat(sick, 10), np.repeat(np.arange(40), 10), 0.95)
        finite += math.isfinite(found.low)
        hits += found.low <= 0.5 <= found.high
    assert finite == 400
    assert hits / 400 >= 0.93
    seven = clustered_auc(np.arange(70.0), np.repeat(np.arange(14) < 7, 5), np.repeat(np.arange(14), 5), 0.95)
    assert seven.value == 0
    assert math.isnan(seven.low)


def test_a_perfect_area_has_no_interval() -> None:
    found = clustered_auc(np.repeat([0.0, 1.0], 50), np.arange(100) >= 50, np.arange(100), 0.95)
    assert found.value == 1
    assert math.isnan(found.low)


def test_blocks_of_one_size_keep_their_labels_together() -> None:
    rng = np.random.default_rng(1)
    sizes = [1] * 15 + [2] * 20 + [3] * 12
    blocks = np.repeat(np.arange(len(sizes)), sizes)
    labels = rng.random(len(blocks)) < 0.4
    shuffled = rng.permutation(len(blocks))
    blocks, labels = blocks[shuffled], labels[shuffled]

    def patterns(values: np.ndarray) -> list[tuple[bool, ...]]:  # type: ignore[type-arg]
        return sorted(tuple(values[blocks == block].tolist()) for block in range(len(sizes)))

    arrangements = [permuted.tobytes() for permuted in permute_labels(labels, blocks, count=50, seed=2)]
    assert len(set(arrangements)) == 50
    for permuted in permute_labels(labels, blocks, count=50, seed=2):
        assert patterns(permuted) == patterns(labels)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=60), st.integers(0, 99))
def test_no_label_is_lost_whatever_the_blocks_sizes(sizes: list[int], seed: int) -> None:
    blocks = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.random.default_rng(seed).random(len(blocks)) < 0.5
    for permuted in permute_labels(labels, blocks, count=3, seed=seed):
        assert permuted.sum() == labels.sum()


def test_every_place_gets_every_label_equally_often() -> None:
    labels = np.array([True] * 5 + [False] * 15)
    shares = np.mean(list(permute_labels(labels, np.arange(20), count=2000, seed=3)), axis=0)
    assert np.abs(shares - 0.25).max() < 0.05
