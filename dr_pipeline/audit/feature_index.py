"""Which photographs may show one retina: votes of nearest descriptors, without comparing all pairs of photographs.

The descriptors of all photographs are divided into cells, each around a descriptor of the set; a descriptor is
compared with those of its two nearest cells. Each votes for the photographs of its nearest neighbours, by how much
nearer these are than the last of them: local naive Bayes nearest neighbour (McCann and Lowe, CVPR 2012). Only the
photographs with most votes are candidates.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.retinal_features import squared_distances
from dr_pipeline.logs import progress

# Nearly all photographs of one retina are each other's first candidates; more are for eyes photographed many times.
NUM_CANDIDATES = 8
_NUM_NEIGHBOURS = 8
_NUM_PROBES = 2
# Average descriptors of a cell; fewer would separate the features of one vessel.
_MIN_CELL = 512
# More cells per square root of the descriptors than this take longer to choose among than they save.
_CELLS_PER_ROOT = 2
# Distances computed at once: 4 MiB, a processor's cache; with 64 MiB the index took a quarter longer.
_BLOCK = 1 << 20
_FAR = np.float32(1 << 24)


def candidate_pairs(descriptors: Sequence[NDArray[np.uint8]]) -> list[tuple[int, int]]:
    """Pairs of photographs that share the most descriptors: the candidates of each photograph, in time below N^1.5.

    Args:
        descriptors: (N_i, 128) of each photograph. All vote: among the strongest are too many marks of a dusty camera.

    Returns:
        Pairs first < second, sorted; at most `NUM_CANDIDATES` per photograph.
    """
    lengths = [len(array) for array in descriptors]
    total = sum(lengths)
    if not total:
        return []
    table = np.concatenate(descriptors)
    owner = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    voted, distance = _nearest(table, owner, len(lengths))
    weights = _votes(voted, distance)
    pairs: set[tuple[int, int]] = set()
    start = 0
    for photograph, length in enumerate(lengths):
        rows = slice(start, start + length)
        start += length
        votes = np.bincount(voted[rows].ravel(), weights[rows].ravel(), minlength=len(lengths) + 1)[:-1]
        best = np.argsort(-votes, kind="stable")[:NUM_CANDIDATES]
        pairs.update((min(photograph, int(b)), max(photograph, int(b))) for b in best if votes[b] > 0)
    return sorted(pairs)


def _nearest(
    table: NDArray[np.uint8], owner: NDArray[np.int32], nobody: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The photographs of each descriptor's nearest neighbours in other photographs, and their squared distances.

    Returns:
        Two arrays (len(table), _NUM_NEIGHBOURS), nearest first; the photograph is `nobody` where there are fewer.
    """
    voted = np.full((len(table), _NUM_NEIGHBOURS), nobody, np.int32)
    distance = np.full((len(table), _NUM_NEIGHBOURS), _FAR, np.float32)
    count = max(1, min(len(table) // _MIN_CELL, round(_CELLS_PER_ROOT * len(table) ** 0.5)))
    centres = table[np.linspace(0, len(table) - 1, count).astype(np.intp)]
    cells = _nearest_cells(table, centres)
    members_of, queries_of = _by_cell(cells[:, 0], count), [_by_cell(cells[:, p], count) for p in range(cells.shape[1])]
    for cell in progress(range(count), label="same eye: nearest features", total=count):
        members = members_of[cell]
        queries = np.concatenate([probe[cell] for probe in queries_of])
        height = max(1, _BLOCK // max(1, len(members)))
        for start in range(0, len(queries), height):
            rows = queries[start : start + height]
            found = squared_distances(table[rows], table[members])
            found[owner[rows][:, None] == owner[members]] = _FAR
            _keep_nearest(voted, distance, rows, owner[members], found)
    voted[distance == _FAR] = nobody
    return voted, distance


def _keep_nearest(
    voted: NDArray[np.int32],
    distance: NDArray[np.float32],
    rows: NDArray[np.intp],
    owners: NDArray[np.int32],
    found: NDArray[np.float32],
) -> None:
    """Enters the nearest of `found` (len(rows), len(owners)) among those found before."""
    near, found = _smallest(found, min(_NUM_NEIGHBOURS, len(owners)))
    names = owners[near]
    names, found = np.hstack((voted[rows], names)), np.hstack((distance[rows], found))
    order = np.argsort(found, axis=1, kind="stable")[:, :_NUM_NEIGHBOURS]
    voted[rows] = np.take_along_axis(names, order, axis=1)
    distance[rows] = np.take_along_axis(found, order, axis=1)


def _nearest_cells(table: NDArray[np.uint8], centres: NDArray[np.uint8]) -> NDArray[np.intp]:
    """(len(table), probes): the nearest cells, nearest first."""
    probes = min(_NUM_PROBES, len(centres))
    cells = np.zeros((len(table), probes), np.intp)
    height = max(1, _BLOCK // len(centres))
    starts = range(0, len(table), height)
    for start in progress(starts, label="same eye: features into cells", total=len(starts)):
        distances = squared_distances(table[start : start + height], centres)
        cells[start : start + height], _ = _smallest(distances, probes)
    return cells


def _smallest(distances: NDArray[np.float32], count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Columns and values of each row's smallest, ascending, the first of equal ones; overwrites the distances.

    Repeated argmin: for 8 of 2,000 columns a tenth of the time of `np.argpartition`.
    """
    rows = np.arange(len(distances))
    columns = np.empty((len(rows), count), np.intp)
    values = np.empty((len(rows), count), np.float32)
    for place in range(count):
        columns[:, place] = distances.argmin(axis=1)
        values[:, place] = distances[rows, columns[:, place]]
        distances[rows, columns[:, place]] = np.inf
    return columns, values


def _by_cell(cell: NDArray[np.intp], count: int) -> list[NDArray[np.intp]]:
    """The rows of each cell, ascending."""
    order = np.argsort(cell, kind="stable")
    return np.split(order, np.searchsorted(cell[order], np.arange(1, count)))


def _votes(voted: NDArray[np.int32], distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weight of each neighbour's vote; a descriptor votes once for a photograph."""
    weights = distance[:, -1:] - distance
    for place in range(1, voted.shape[1]):
        weights[(voted[:, :place] == voted[:, place : place + 1]).any(axis=1), place] = 0
    return weights
