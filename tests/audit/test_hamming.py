"""The search by Hamming radius finds exactly what comparing all pairs finds, each pair once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dr_pipeline.audit import hamming
from dr_pipeline.audit.hamming import pairs_within

pytestmark = pytest.mark.slow

Words = NDArray[np.uint64]


def found(words: Words, radius: int, queries: Words | None = None) -> list[tuple[int, int, int]]:
    blocks = [np.stack([b.first, b.second, b.distance], 1) for b in pairs_within(words, radius, queries)]
    return sorted(map(tuple, np.concatenate(blocks).tolist())) if blocks else []


def by_brute_force(words: Words, radius: int, queries: Words | None = None) -> list[tuple[int, int, int]]:
    left = words if queries is None else queries
    distance = np.bitwise_count(left[:, None] ^ words[None]).sum(axis=2)
    first, second = np.nonzero(np.triu(distance <= radius, 1))
    return sorted(zip(first.tolist(), second.tolist(), distance[first, second].tolist(), strict=True))


def clustered(seed: int, count: int, sources: int, noise: float) -> Words:
    """Hashes around a few sources; with little noise many are equal, and many chunks are."""
    rng = np.random.default_rng(seed)
    # Half of the bits are nearly constant, as those of fundus photographs are.
    balance = np.where(rng.random(256) < 0.5, 0.95, 0.5)
    bits = (rng.random((sources, 256)) < balance)[rng.integers(sources, size=count)]
    return np.packbits(bits ^ (rng.random(bits.shape) < noise), axis=1).view(np.uint64)


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 120),
    sources=st.integers(1, 20),
    noise=st.sampled_from([0.0, 0.01, 0.06, 0.1, 0.5]),
    radius=st.integers(0, 50),
)
@settings(max_examples=60, deadline=None)
def test_equal_to_brute_force(seed, count, sources, noise, radius):
    words = clustered(seed, count, sources, noise)
    assert found(words, radius) == by_brute_force(words, radius)


@given(
    seed=st.integers(0, 2**32), noise=st.sampled_from([0.01, 0.06, 0.1]), radius=st.sampled_from([0, 15, 16, 31, 32])
)
@settings(max_examples=20, deadline=None)
def test_equal_to_brute_force_with_another_form_of_the_hashes(seed, noise, radius):
    words, queries = clustered(seed, 80, 4, noise), clustered(seed, 80, 4, noise)[::-1].copy()
    assert found(words, radius, queries) == by_brute_force(words, radius, queries)


def test_equal_to_brute_force_on_two_thousand():
    words = clustered(1, 2000, 300, 0.05)
    expected = by_brute_force(words, 31)
    assert len(expected) > 1000
    assert found(words, 31) == expected


@pytest.mark.parametrize("distance", range(30, 34))
def test_the_radius_is_kept_however_the_bits_lie(distance):
    rng = np.random.default_rng(distance)
    for _ in range(50):
        bits = rng.integers(0, 2, (2, 256), np.uint8)
        bits[1] = bits[0]
        bits[1, rng.permutation(256)[:distance]] ^= 1
        words = np.packbits(bits, axis=1).view(np.uint64)
        assert found(words, 31) == ([(0, 1, distance)] if distance <= 31 else [])


def test_the_blocks_do_not_change_what_is_found(monkeypatch):
    words = clustered(3, 300, 3, 0.03)
    whole = found(words, 31)
    monkeypatch.setattr(hamming, "_BLOCK", 7)
    assert len(whole) > 5000
    assert found(words, 31) == whole


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_pair(count):
    assert found(np.zeros((count, 4), np.uint64), 31) == []
