"""Whether photographs that are held out resemble training photographs more than strangers do.

What the patients and the duplicate clusters do not tell, the pictures may: an unnamed patient's second visit, a copy
that no search found. A held-out photograph's nearest training photograph should be as far away as a training
photograph's nearest one of another group is; where more are nearer than that, pictures have leaked.
"""

import hashlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.perceptual_hash import hash_words
from dr_pipeline.schema import Split
from dr_pipeline.splitting.nearest_neighbours import NONE, Hashed, nearest_in_parts, nearest_photograph
from dr_pipeline.splitting.similarity_levels import (
    FALSE_ALARM,
    LEAST_PHOTOGRAPHS,
    SAME_PICTURE_BITS,
    Level,
    NearPair,
    PartProbe,
    Probe,
)
from dr_pipeline.splitting.tails import binomial_p
from dr_pipeline.tables.splits import SplitRow

# How near is "too near": these shares of the training photographs are as near to another group.
LEVELS = (0.01, 0.001)
_NAMED_AT_MOST = 20
_MAX_PAIRS = 4_000_000_000


def probe(rows: Sequence[SplitRow], hashes: Mapping[str, str], salt: str, given: Container[str] = ()) -> Probe:
    """Probes the test part against development, and every fold against what trains beside it.

    Args:
        rows: splits.csv; no group has two parts.
        hashes: By image_id; an empty or all-zero one says nothing.
        salt: Which photographs are looked at where there are too many for all.
        given: Names of the parts that were not drawn: only the same picture on both sides is a leak there.

    Raises:
        DataError: A hash is none.
    """
    known = [row for row in rows if hashes.get(row.image_id, "").strip("0")]
    if not known:
        return Probe(len(rows), 0.0, {})
    names = sorted({row.part for row in known})
    groups = {name: number for number, name in enumerate(sorted({row.group for row in known}))}
    hashed = Hashed(
        hash_words([hashes[row.image_id] for row in known]),
        np.array([groups[row.group] for row in known], dtype=np.int64),
        np.array([names.index(row.part) for row in known], dtype=np.int64),
    )
    development = [number for number, name in enumerate(names) if name != Split.TEST]
    asked = _asked(known, int(np.isin(hashed.part, development).sum()), salt)
    distances = nearest_in_parts(hashed, asked, development)
    held = [number for number, name in enumerate(names) if name != Split.TRAIN]
    found = {}
    for part in held:
        training = [number for number in development if number != part]
        if training:
            nearest = distances[:, [development.index(number) for number in training]].min(axis=1)
            search = _Search(known, hashed, asked, nearest, part, training)
            unlikely = FALSE_ALARM / (len(held) * len(LEVELS))
            found[names[part]] = search.judge(unlikely, given=names[part] in given)
    return Probe(len(rows) - len(known), round(len(asked) / len(known), 6), found)


@dataclass(frozen=True)
class _Search:
    """What one held-out part is judged from.

    Near pairs between the part and training are compared with near pairs within training, with groups as units. A pair
    within training is met from both its ends, one across from its held-out end only; where H groups are held out, T
    train and nothing leaks, a near pair therefore lies across with the chance 2H / (2H + T), and their number is
    binomial. That the bound is a percentile of the training distances does no harm: it only says at which of them the
    counting stops. All this is so of parts that were drawn; a site, say, whose camera has left its mark on the hashes
    is near to the few training photographs of that camera.

    Attributes:
        rows: N photographs with a hash.
        hashed: The same as numbers.
        asked: Numbers of the R photographs looked at.
        nearest: Of each, the distance to the nearest training photograph of another group, shape (R,).
        part: The part that is held out.
        training: The parts that train beside it.
    """

    rows: Sequence[SplitRow]
    hashed: Hashed
    asked: NDArray[np.int64]
    nearest: NDArray[np.uint16]
    part: int
    training: Sequence[int]

    def judge(self, unlikely: float, *, given: bool) -> PartProbe:
        """The figures; `unlikely`: below which a level's p is beyond chance; `given`: not drawn."""
        ours = self.hashed.part[self.asked] == self.part
        theirs = np.isin(self.hashed.part[self.asked], self.training) & (self.nearest < NONE)
        levels = tuple(self._level(percentile, ours, theirs) for percentile in LEVELS) if theirs.any() else ()
        same = int((self.nearest[ours] <= SAME_PICTURE_BITS).sum())
        beyond_chance = any(level.p < unlikely and level.photographs >= LEAST_PHOTOGRAPHS for level in levels)
        return PartProbe(
            photographs=int(ours.sum()),
            references=int(theirs.sum()),
            levels=levels,
            same_picture=same,
            pairs=self._pairs(ours, max([SAME_PICTURE_BITS + 1, *(level.bits for level in levels)])),
            given=given,
            beyond_chance=beyond_chance,
            leaks=same >= LEAST_PHOTOGRAPHS or (beyond_chance and not given),
        )

    def _level(self, percentile: float, ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> Level:
        bits = int(np.quantile(self.nearest[theirs], percentile, method="lower"))
        near = self.nearest < bits
        group = self.hashed.group[self.asked]
        hits, held, others, training = (
            len(np.unique(group[which])) for which in (ours & near, ours, theirs & near, theirs)
        )
        pairs = (others + 1) // 2
        return Level(
            percentile=percentile,
            bits=bits,
            photographs=int((ours & near).sum()),
            share=round(int((ours & near).sum()) / max(1, int(ours.sum())), 6),
            p=binomial_p(hits, hits + pairs, 2 * held / (2 * held + training)) if held else 1.0,
        )

    def _pairs(self, ours: NDArray[np.bool_], below: int) -> tuple[NearPair, ...]:
        places = np.flatnonzero(ours & (self.nearest < below)).tolist()
        places.sort(key=lambda place: (self.nearest[place], self.rows[int(self.asked[place])].image_id))
        pairs = []
        for place in places[:_NAMED_AT_MOST]:
            row = int(self.asked[place])
            other = nearest_photograph(self.hashed, row, self.training)
            pairs.append(NearPair(self.rows[row].image_id, self.rows[other].image_id, int(self.nearest[place])))
        return tuple(pairs)


def _asked(rows: Sequence[SplitRow], columns: int, salt: str) -> NDArray[np.int64]:
    """Numbers of the photographs to look at: all, or as many as time allows, in the order of their salted hash.

    Test photographs come first, but take no more than half, since the comparison has two sides.
    """
    most = _MAX_PAIRS // max(1, columns)
    if len(rows) <= most:
        return np.arange(len(rows), dtype=np.int64)
    in_order = sorted(
        range(len(rows)), key=lambda row: hashlib.sha256(f"{salt}\0probe\0{rows[row].image_id}".encode()).digest()
    )
    test = [row for row in in_order if rows[row].split == Split.TEST][: most // 2]
    others = [row for row in in_order if rows[row].split != Split.TEST][: most - len(test)]
    return np.array(sorted([*test, *others]), dtype=np.int64)
