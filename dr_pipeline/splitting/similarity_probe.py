"""The similarity probe: whether held-out photographs resemble training photographs more than unrelated ones do.

It finds leaks that patients and duplicate clusters do not show: an unnamed patient's second visit, a copy that no
search found. Without a leak, a held-out photograph is as far from its nearest training photograph as a training
photograph from its nearest one of another group.
"""

import hashlib
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.perceptual_hash import hash_words
from dr_pipeline.schema import Split
from dr_pipeline.splitting.nearest_neighbours import NO_NEIGHBOUR, Hashed, nearest_in_parts, nearest_photograph
from dr_pipeline.tables.splits import SplitRow

# Bounds on the distance: these quantiles of the training photographs' distances to another group.
LEVELS = (0.01, 0.001)
_NAMED_AT_MOST = 20
_MAX_PAIRS = 4_000_000_000
# Hashes at most this far apart are of one photograph. Of 413 IDRiD photographs the five identical pairs are 0 bits
# apart, one pair 20, and every other 52 or more; of 812 synthetic ones every pair but the copies 70 or more. Unrelated
# hashes: 128 ± 8.
SAME_PICTURE_BITS = 24
# Probability of a false alarm, over all drawn parts and levels together.
FALSE_ALARM = 0.001
# Fewer look-alikes than this do not stop the build; the report lists them.
LEAST_PHOTOGRAPHS = 3


@dataclass(frozen=True)
class NearPair:
    """A photograph that is held out, the training photograph nearest to it, and how many of 256 bits differ."""

    image_id: str
    nearest: str
    distance: int


@dataclass(frozen=True)
class Level:
    """One bound on the distance.

    Attributes:
        percentile: Of the training photographs' distances to other groups.
        bits: The bound: that percentile.
        photographs: How many that are held out are nearer than it.
        share: The same as a share of those probed.
        p: Probability of as many groups or more without a leak, see `_PartProbe`.
    """

    percentile: float
    bits: int
    photographs: int
    share: float
    p: float


@dataclass(frozen=True)
class PartProbe:
    """The figures of one held-out part.

    Attributes:
        photographs: How many were probed.
        references: Training photographs whose own nearest neighbours are the reference.
        levels: By bound.
        same_picture: Photographs within SAME_PICTURE_BITS of a training photograph.
        pairs: The nearest ones under the widest bound, at most 20.
        given: Whether the part was predefined (official, a site) and not drawn. Another camera may then be nearer to
            some of the training photographs than these are to one another, without a leak.
        beyond_chance: Whether more are near than chance explains for a drawn part.
        leaks: Whether one photograph is on both sides, or the part was drawn and the figures are beyond chance.
    """

    photographs: int
    references: int
    levels: tuple[Level, ...]
    same_picture: int
    pairs: tuple[NearPair, ...]
    given: bool
    beyond_chance: bool
    leaks: bool


@dataclass(frozen=True)
class SimilarityProbe:
    """The figures of all held-out parts.

    Attributes:
        not_probed: Photographs without a hash, or with the hash 0.
        sampled: Fraction of the others that were compared.
        parts: By name of the part.
    """

    not_probed: int
    sampled: float
    parts: dict[str, PartProbe]

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def probe_similarity(
    rows: Sequence[SplitRow], hashes: Mapping[str, str], salt: str, given: Container[str] = ()
) -> SimilarityProbe:
    """Probes the test part against development, and every fold against what trains beside it.

    Args:
        rows: splits.csv; no group has two parts.
        hashes: By image_id; an empty or all-zero one is not probed.
        salt: Selects the photographs that are compared where there are too many for all.
        given: Names of the parts that were not drawn: there only the same photograph on both sides is a leak.

    Raises:
        DataError: A hash is malformed.
    """
    known = [row for row in rows if hashes.get(row.image_id, "").strip("0")]
    if not known:
        return SimilarityProbe(len(rows), 0.0, {})
    names = sorted({row.part for row in known})
    groups = {name: number for number, name in enumerate(sorted({row.group for row in known}))}
    hashed = Hashed(
        hash_words([hashes[row.image_id] for row in known]),
        np.array([groups[row.group] for row in known], dtype=np.int64),
        np.array([names.index(row.part) for row in known], dtype=np.int64),
    )
    development = [number for number, name in enumerate(names) if name != Split.TEST]
    sampled = _sample(known, int(np.isin(hashed.part, development).sum()), salt)
    distances = nearest_in_parts(hashed, sampled, development)
    held = [number for number, name in enumerate(names) if name != Split.TRAIN]
    parts = {}
    for part in held:
        training = [number for number in development if number != part]
        if training:
            nearest = distances[:, [development.index(number) for number in training]].min(axis=1)
            probe = _PartProbe(known, hashed, sampled, nearest, part, training)
            significance = FALSE_ALARM / (len(held) * len(LEVELS))
            parts[names[part]] = probe.measure(significance, given=names[part] in given)
    return SimilarityProbe(len(rows) - len(known), round(len(sampled) / len(known), 6), parts)


@dataclass(frozen=True)
class _PartProbe:
    """The distances that one held-out part is compared by.

    Near pairs between the part and training are compared with near pairs within training, with groups as units. A pair
    within training is counted from both its ends, one across from its held-out end only. With H held-out groups, T
    training groups and no leak, a near pair lies across with probability 2H / (2H + T), and their number is binomial.
    That the bound is a percentile of the training distances does not matter: it only sets where the counting stops.
    This holds for drawn parts; a site, for example, whose camera affects the hashes is near to the few training
    photographs of that camera.

    Attributes:
        rows: N photographs with a hash.
        hashed: The same as numbers.
        sampled: Numbers of the R photographs compared.
        nearest: Of each, the distance to the nearest training photograph of another group, shape (R,).
        part: The part that is held out.
        training: The parts that train beside it.
    """

    rows: Sequence[SplitRow]
    hashed: Hashed
    sampled: NDArray[np.int64]
    nearest: NDArray[np.uint16]
    part: int
    training: Sequence[int]

    def measure(self, significance: float, *, given: bool) -> PartProbe:
        """The figures; a level is beyond chance where its p is below `significance`; `given`: not drawn."""
        ours = self.hashed.part[self.sampled] == self.part
        theirs = np.isin(self.hashed.part[self.sampled], self.training) & (self.nearest < NO_NEIGHBOUR)
        levels = tuple(self._level(percentile, ours, theirs) for percentile in LEVELS) if theirs.any() else ()
        same = int((self.nearest[ours] <= SAME_PICTURE_BITS).sum())
        beyond_chance = any(level.p < significance and level.photographs >= LEAST_PHOTOGRAPHS for level in levels)
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
        group = self.hashed.group[self.sampled]
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
        places.sort(key=lambda place: (self.nearest[place], self.rows[int(self.sampled[place])].image_id))
        pairs = []
        for place in places[:_NAMED_AT_MOST]:
            row = int(self.sampled[place])
            other = nearest_photograph(self.hashed, row, self.training)
            pairs.append(NearPair(self.rows[row].image_id, self.rows[other].image_id, int(self.nearest[place])))
        return tuple(pairs)


def _sample(rows: Sequence[SplitRow], columns: int, salt: str) -> NDArray[np.int64]:
    """Numbers of the photographs to compare: all, or as many as time allows, in the order of their salted hash.

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


def binomial_p(hits: int, trials: int, share: float) -> float:
    """Probability of at least `hits` among independent trials.

    Not scipy's: the report holds all digits of it, and scipy's differ in the last ones.

    Args:
        hits: From 0 to `trials`.
        trials: How many.
        share: Probability of each, above 0 and below 1.
    """
    terms = (
        math.exp(_log_choose(trials, count) + count * math.log(share) + (trials - count) * math.log1p(-share))
        for count in range(hits, trials + 1)
    )
    return min(1.0, math.fsum(terms))


def _log_choose(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)
