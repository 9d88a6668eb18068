"""Labels are permuted by whole patients."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.audit.clustered_auc import permute_labels


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
