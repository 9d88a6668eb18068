"""Near duplicates: copies of one photograph that were recompressed, resized, cropped, brightened, turned or mirrored.

Perceptual hashes give the candidates, in all eight orientations, so that a copy without its EXIF tag is found; the
canvases verify them. Two photographs of one eye are not duplicates.
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
# Among more copies of one photograph than this, only as many pairs are compared as connect them.
_MAX_ALL_PAIRS = 16
# Of photographs with one hash that are nevertheless different, at most this many represent all.
_MAX_REPRESENTATIVES = 4
# Size of the cache of the canvases' features, 64 KiB each.
_KEPT_FEATURES = 1024


@dataclass(frozen=True, order=True)
class NearDuplicate:
    """Two files of one photograph.

    Attributes:
        first: Image id.
        second: Image id, greater than `first`.
        distance: Bits between their hashes, of 256.
        correlation: Of their registered canvases.
        turn: The orientation that maps the first onto the second, see `turn_square`; 0: none.
    """

    first: str
    second: str
    distance: int
    correlation: float
    turn: int


def find_near_duplicates(
    hashes: Mapping[str, str], read_canvas: Callable[[str], NDArray[np.uint8]]
) -> list[NearDuplicate]:
    """Finds the pairs of photographs that are copies of one another.

    Every pair of up to 16 copies of one photograph is listed; of more copies, enough pairs to connect them all.

    Args:
        hashes: Perceptual hash by image id. An empty hash, or 0, means that nothing is visible; it matches no other.
        read_canvas: Returns a canvas by image id, (canvas_px, canvas_px, 3) RGB, all with one arm.

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
    representatives = [search.compare_equal(rows) for rows in rows_by_hash.values()]
    for turn in range(NUM_TURNS):
        queries = turn_hashes(words, turn) if turn else None
        for pairs in pairs_within(words, RADIUS, queries):
            search.compare_near(pairs, representatives, turn)
    return sorted(search.pairs.values())


class _Search:
    """The pairs found so far, and which photographs they connect; photographs are rows of `names`."""

    def __init__(self, names: Sequence[str], read_canvas: Callable[[str], NDArray[np.uint8]]) -> None:
        self.pairs: dict[tuple[int, int], NearDuplicate] = {}
        self._names = names
        self._cluster = np.arange(len(names))
        self._size = np.ones(len(names), np.int64)
        self._features = lru_cache(_KEPT_FEATURES)(lambda row: features(read_canvas(names[row])))

    def compare_equal(self, rows: list[int]) -> list[int]:
        """Compares photographs of one hash; returns those that represent them in further comparisons."""
        if len(rows) <= _MAX_ALL_PAIRS:
            for one, other in combinations(rows, 2):
                self._compare(one, other, 0, 0)
            return rows
        representatives: list[int] = []
        for row in rows:
            if (
                not any(self._compare(one, row, 0, 0) for one in representatives)
                and len(representatives) < _MAX_REPRESENTATIVES
            ):
                representatives.append(row)
        return representatives

    def compare_near(self, pairs: Pairs, representatives: Sequence[Sequence[int]], turn: int) -> None:
        """Compares the photographs of a block of pairs of hashes, unless they are in one large cluster already."""
        lead = np.array([rows[0] for rows in representatives])
        alone = np.array([len(rows) == 1 for rows in representatives])
        one, other = self._cluster[lead[pairs.first]], self._cluster[lead[pairs.second]]
        settled = (one == other) & (self._size[one] > _MAX_ALL_PAIRS) & alone[pairs.first] & alone[pairs.second]
        order = np.lexsort((pairs.second, pairs.first))
        for at in order[~settled[order]]:
            for first in representatives[pairs.first[at]]:
                for second in representatives[pairs.second[at]]:
                    self._compare(first, second, int(pairs.distance[at]), turn)

    def _compare(self, one: int, other: int, distance: int, turn: int) -> bool:
        """Whether two photographs are duplicates; `turn` is that of `one`."""
        if one > other:
            one, other, turn = other, one, inverse_turn(turn)
        if (one, other) in self.pairs or self._is_settled(one, other):
            return True
        similarity = correlation(turn_square(self._features(one), turn), self._features(other), MIN_CORRELATION)
        if similarity < MIN_CORRELATION:
            return False
        self.pairs[one, other] = NearDuplicate(self._names[one], self._names[other], distance, similarity, turn)
        self._join(one, other)
        return True

    def _is_settled(self, one: int, other: int) -> bool:
        cluster = self._cluster[one]
        return bool(cluster == self._cluster[other] and self._size[cluster] > _MAX_ALL_PAIRS)

    def _join(self, one: int, other: int) -> None:
        cluster, merged = self._cluster[one], self._cluster[other]
        if cluster != merged:
            self._cluster[self._cluster == merged] = cluster
            self._size[cluster] += self._size[merged]
