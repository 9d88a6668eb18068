"""All pairs of hashes within a Hamming radius, exactly, without comparing all pairs.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012):
hashes of B bits cut into m chunks and at most r = m·a + b bits apart (b < m) differ by at most a bits in one of the
first b + 1 chunks, or by at most a − 1 bits in one of the others. So only hashes with such a chunk are compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

_CHUNK_BITS = 16
# Hashes compared at once: bounds the memory at some 100 MB, whatever the number of hashes.
_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of rows.

    Attributes:
        first: (M,) row of the one, less than `second`.
        second: (M,) row of the other.
        distance: (M,) bits in which they differ.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.int64]


def pairs_within(words: NDArray[np.uint64], radius: int, queries: NDArray[np.uint64] | None = None) -> Iterator[Pairs]:
    """Finds every pair of rows first < second with at most `radius` bits between `queries[first]` and `words[second]`.

    Args:
        words: (N, W), N hashes of 64·W bits.
        radius: At most 64·W − 1.
        queries: (N, W), another form of the same N hashes; by default `words` itself.

    Yields:
        Blocks of pairs; no pair comes twice. The order depends on the hashes alone.
    """
    if len(words) < 2:
        return
    order = _balanced_order(words)
    table = _reordered(words, order)
    query_table = table if queries is None else _reordered(queries, order)
    reach = _chunk_radii(words.shape[1] * 64 // _CHUNK_BITS, radius)
    keys, query_keys = table.view(np.uint16), query_table.view(np.uint16)
    for chunk in range(keys.shape[1]):
        for rows, others in _candidates(keys[:, chunk], query_keys[:, chunk], reach[chunk]):
            rows, others, distance = _within(query_table, table, rows, others, radius)
            # Each pair is yielded by the first chunk that finds it, so that no set of earlier pairs is needed.
            new = ~_found_before(query_keys[rows], keys[others], reach[:chunk])
            if new.any():
                yield Pairs(rows[new], others[new], distance[new])


def _balanced_order(words: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The bits, distributed so that each chunk gets as many uninformative ones (nearly all 0 or all 1)."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1)
    imbalance = np.abs(bits.mean(axis=0) - 0.5)
    num_chunks = bits.shape[1] // _CHUNK_BITS
    return np.argsort(imbalance, kind="stable").reshape(_CHUNK_BITS, num_chunks).T.ravel()


def _reordered(words: NDArray[np.uint64], order: NDArray[np.intp]) -> NDArray[np.uint64]:
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1)
    return np.ascontiguousarray(np.packbits(bits[:, order], axis=1)).view(np.uint64)


def _chunk_radii(num_chunks: int, radius: int) -> NDArray[np.int64]:
    """How many bits of each chunk may differ; −1 where a chunk need not be searched."""
    whole, rest = divmod(radius, num_chunks)
    return np.where(np.arange(num_chunks) <= rest, whole, whole - 1)


def _candidates(
    keys: NDArray[np.uint16], queries: NDArray[np.uint16], reach: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows first < second whose chunks differ by at most `reach` bits, in blocks."""
    by_key = np.argsort(keys, kind="stable")
    starts = np.searchsorted(keys[by_key], np.arange((1 << _CHUNK_BITS) + 1))
    # In the order of their keys, neighbouring queries read neighbouring memory.
    rows = np.argsort(queries, kind="stable")
    for differing in range(reach + 1):
        for bits in combinations(range(_CHUNK_BITS), differing):
            targets = queries[rows] ^ np.uint16(sum(1 << bit for bit in bits))
            begin = starts[targets]
            count = starts[targets.astype(np.int64) + 1] - begin
            yield from _expanded(rows, begin, count, by_key)


def _expanded(
    rows: NDArray[np.int64], begin: NDArray[np.int64], count: NDArray[np.int64], by_key: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each row with each entry of its run in `by_key`, where the row is the lesser."""
    ends = np.cumsum(count)
    at = 0
    while at < len(rows):
        done = ends[at] - count[at]
        stop = max(at + 1, int(np.searchsorted(ends, done + _BLOCK, side="right")))
        lengths = count[at:stop]
        shift = begin[at:stop] - (ends[at:stop] - lengths - done)
        first = np.repeat(rows[at:stop], lengths)
        second = by_key[np.arange(len(first)) + np.repeat(shift, lengths)]
        lesser = first < second
        yield first[lesser], second[lesser]
        at = stop


def _within(
    queries: NDArray[np.uint64],
    table: NDArray[np.uint64],
    rows: NDArray[np.int64],
    others: NDArray[np.int64],
    radius: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The candidates within the radius, and their distances; most candidates are rejected by the first words."""
    distance = np.zeros(len(rows), np.int64)
    for word in range(table.shape[1]):
        distance = distance + np.bitwise_count(queries[rows, word] ^ table[others, word])
        near = distance <= radius
        rows, others, distance = rows[near], others[near], distance[near]
    return rows, others, distance


def _found_before(
    queries: NDArray[np.uint16], others: NDArray[np.uint16], reach: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether an earlier chunk finds each pair; `reach` is that of the earlier chunks."""
    differing = np.bitwise_count(queries[:, : len(reach)] ^ others[:, : len(reach)]).astype(np.int64)
    return np.asarray((differing <= reach).any(axis=1))
