"""Near duplicates: copies of one photograph that were recompressed, resized, cropped, brightened, turned or mirrored.

Perceptual hashes name the candidates, in all eight turns, so that a copy that lost its EXIF tag is found; the canvases
prove them. Two photographs of one eye are no duplicates.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.hamming import Pairs, pairs_within
from dr_pipeline.audit.image_similarity import correlation, features
from dr_pipeline.fundus.perceptual_hash import NUM_TURNS, hash_words, inverse_turn, turn_hashes, turn_square

# Bits. Of 927 copies of IDRiD photographs the farthest is 25 bits away (JPEG of quality 40), of 85,072 pairs of other
# eyes the nearest 52 (benchmarks/near_duplicates.py).
RADIUS = 31
# In the worst arm the least alike of the same copies has 0.89; of IDRiD's other pairs two exposures of one eye in one
# gaze have 0.83, the most alike of different eyes 0.32.
MIN_CORRELATION = 0.86
# Among more copies of one picture than this, only so many pairs are compared as connect them.
_LISTED_WHOLE = 16
# Photographs of one hash that are nevertheless different pictures: so many of them stand for all.
_MAX_DELEGATES = 4
# Of the canvases' features, 64 KiB each, the ones kept for the next pair.
_KEPT_FEATURES = 1024


@dataclass(frozen=True, order=True)
class NearDuplicate:
    """Two files of one photograph.

    Attributes:
        first: Image id.
        second: Image id, greater than `first`.
        distance: Bits between their hashes, of 256.
        correlation: Of their canvases, laid over each other.
        turn: What must be done to the first to make it the second, see `turn_square`; 0 is nothing.
    """

    first: str
    second: str
    distance: int
    correlation: float
    turn: int


def find_near_duplicates(
    hashes: Mapping[str, str], read_canvas: Callable[[str], NDArray[np.uint8]]
) -> list[NearDuplicate]:
    """Finds the pairs of photographs that are one picture.

    Every pair of up to 16 copies of one picture is listed; of more copies, enough pairs to connect them all.

    Args:
        hashes: Perceptual hash by image id. An empty hash, or 0, stands for a photograph of which nothing is seen; it
            is like no other.
        read_canvas: Gives a canvas by image id, (canvas_px, canvas_px, 3) RGB, all with one arm.

    Returns:
        Sorted.

    Raises:
        DataError: A hash is malformed.
    """
    names = sorted(name for name, value in hashes.items() if value.strip("0"))
    search = _Search(names, read_canvas)
    rows_by_hash: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows_by_hash.setdefault(hashes[name], []).append(row)
    words = hash_words(list(rows_by_hash))
    delegates = [search.compare_equal(rows) for rows in rows_by_hash.values()]
    for turn in range(NUM_TURNS):
        queries = turn_hashes(words, turn) if turn else None
        for pairs in pairs_within(words, RADIUS, queries):
            search.compare_near(pairs, delegates, turn)
    return sorted(search.found.values())


class _Search:
    """The pairs found so far, and which photographs they connect; photographs go by their row in `names`."""

    def __init__(self, names: Sequence[str], read_canvas: Callable[[str], NDArray[np.uint8]]) -> None:
        self.found: dict[tuple[int, int], NearDuplicate] = {}
        self._names = names
        self._cluster = np.arange(len(names))
        self._size = np.ones(len(names), np.int64)
        self._features = lru_cache(_KEPT_FEATURES)(lambda row: features(read_canvas(names[row])))

    def compare_equal(self, rows: list[int]) -> list[int]:
        """Compares photographs of one hash; returns those that stand for all of them in further comparisons."""
        if len(rows) <= _LISTED_WHOLE:
            for one, other in combinations(rows, 2):
                self._compare(one, other, 0, 0)
            return rows
        delegates: list[int] = []
        for row in rows:
            if not any(self._compare(one, row, 0, 0) for one in delegates) and len(delegates) < _MAX_DELEGATES:
                delegates.append(row)
        return delegates

    def compare_near(self, pairs: Pairs, delegates: Sequence[Sequence[int]], turn: int) -> None:
        """Compares the photographs of a block of pairs of hashes, where their clusters are not yet large and one."""
        lead = np.array([rows[0] for rows in delegates])
        alone = np.array([len(rows) == 1 for rows in delegates])
        one, other = self._cluster[lead[pairs.first]], self._cluster[lead[pairs.second]]
        settled = (one == other) & (self._size[one] > _LISTED_WHOLE) & alone[pairs.first] & alone[pairs.second]
        order = np.lexsort((pairs.second, pairs.first))
        for at in order[~settled[order]]:
            for first in delegates[pairs.first[at]]:
                for second in delegates[pairs.second[at]]:
                    self._compare(first, second, int(pairs.distance[at]), turn)

    def _compare(self, one: int, other: int, distance: int, turn: int) -> bool:
        """Whether two photographs are one picture; `turn` is that of `one`."""
        if one > other:
            one, other, turn = other, one, inverse_turn(turn)
        if (one, other) in self.found or self._is_settled(one, other):
            return True
        likeness = correlation(turn_square(self._features(one), turn), self._features(other), MIN_CORRELATION)
        if likeness < MIN_CORRELATION:
            return False
        self.found[one, other] = NearDuplicate(self._names[one], self._names[other], distance, likeness, turn)
        self._join(one, other)
        return True

    def _is_settled(self, one: int, other: int) -> bool:
        cluster = self._cluster[one]
        return bool(cluster == self._cluster[other] and self._size[cluster] > _LISTED_WHOLE)

    def _join(self, one: int, other: int) -> None:
        kept, gone = self._cluster[one], self._cluster[other]
        if kept != gone:
            self._cluster[self._cluster == gone] = kept
            self._size[kept] += self._size[gone]
