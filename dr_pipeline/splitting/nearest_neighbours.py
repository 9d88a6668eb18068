"""Distance to the nearest photograph of another group in each part, by perceptual hash: all pairs, in blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.perceptual_hash import HASH_BITS

# Distance where there is no other photograph: more than any two hashes have.
NO_NEIGHBOUR = HASH_BITS + 1
# Distances computed at once: they fit the second-level cache of ordinary cores, and memory is bounded.
_BLOCK = 2**17


@dataclass(frozen=True)
class Hashed:
    """N photographs that have a hash.

    Attributes:
        words: The hashes as numbers, shape (N, 4).
        group: Number of each one's group, shape (N,).
        part: Number of each one's part, shape (N,); no group has two.
    """

    words: NDArray[np.uint64]
    group: NDArray[np.int64]
    part: NDArray[np.int64]


def nearest_in_parts(hashed: Hashed, rows: NDArray[np.int64], parts: Sequence[int]) -> NDArray[np.uint16]:
    """The Hamming distance from each of `rows` to the nearest photograph of another group in each part.

    Args:
        hashed: N photographs.
        rows: The R query photographs.
        parts: The K parts searched.

    Returns:
        Bits that differ, shape (R, K); NO_NEIGHBOUR where the part has no other group.
    """
    result = np.full((len(rows), len(parts)), NO_NEIGHBOUR, dtype=np.uint16)
    members_of = [np.flatnonzero(hashed.part == part) for part in parts]
    members_of = [members[np.argsort(hashed.group[members], kind="stable")] for members in members_of]
    columns = np.concatenate(members_of) if members_of else np.zeros(0, dtype=np.int64)
    if not len(columns) or not len(rows):
        return result
    filled = [place for place, members in enumerate(members_of) if len(members)]
    starts = np.cumsum([0, *(len(members_of[place]) for place in filled)])[:-1]
    words = np.ascontiguousarray(hashed.words[columns].T)
    own = _stretches(hashed.group[columns])
    height = max(1, _BLOCK // len(columns))
    for first in range(0, len(rows), height):
        block = rows[first : first + height]
        distances = _distances(hashed.words[block], words)
        for line, group in enumerate(hashed.group[block].tolist()):
            start, end = own.get(group, (0, 0))
            distances[line, start:end] = NO_NEIGHBOUR
        result[first : first + height, filled] = np.minimum.reduceat(distances, starts, axis=1)
    return result


def nearest_photograph(hashed: Hashed, row: int, parts: Sequence[int]) -> int:
    """The photograph of another group in one of `parts` that is nearest to `row`, the first of equals."""
    columns = np.flatnonzero(np.isin(hashed.part, parts) & (hashed.group != hashed.group[row]))
    distances = _distances(hashed.words[[row]], np.ascontiguousarray(hashed.words[columns].T))
    return int(columns[distances[0].argmin()])


def _distances(words: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Bits that differ between (R, 4) and (4, C): shape (R, C)."""
    total: NDArray[np.uint16] = np.bitwise_count(words[:, 0, None] ^ others[0]).astype(np.uint16)
    for word in range(1, others.shape[0]):
        total += np.bitwise_count(words[:, word, None] ^ others[word])
    return total


def _stretches(groups: NDArray[np.int64]) -> dict[int, tuple[int, int]]:
    """From where to where each group reaches; the members of a group are neighbours."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    ends = np.append(starts[1:], len(groups))
    return {
        group: (start, end)
        for group, start, end in zip(groups[starts].tolist(), starts.tolist(), ends.tolist(), strict=True)
    }
