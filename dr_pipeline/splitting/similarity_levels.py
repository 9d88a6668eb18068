"""What the probe for look-alikes across parts found, and from where on it is a leak."""

from dataclasses import asdict, dataclass
from typing import Any

# Hashes this near are of one picture. Of 413 IDRiD photographs the five identical pairs are 0 bits apart, one pair 20,
# and every other 52 or more; of 812 drawn ones every pair but the copies 70 or more. Unrelated hashes: 128 ± 8.
SAME_PICTURE_BITS = 24
# Chance of a false alarm, over all drawn parts and levels together.
FALSE_ALARM = 0.001
# Fewer look-alikes than this stop nothing; they are in the report.
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
        p: Chance of as many groups or more where nothing leaks, see `_Search` in `probe`.
    """

    percentile: float
    bits: int
    photographs: int
    share: float
    p: float


@dataclass(frozen=True)
class PartProbe:
    """What was found of one part that is held out.

    Attributes:
        photographs: How many were probed.
        references: How many training photographs they were compared with as to their own nearest.
        levels: By bound.
        same_picture: Photographs within SAME_PICTURE_BITS of a training photograph.
        pairs: The nearest ones under the widest bound, at most 20.
        given: Whether the part was given (official, a site) and not drawn. Another camera may then be nearer to some
            of the training photographs than these are to one another, without a leak.
        beyond_chance: Whether more are near than chance gives a part that was drawn.
        leaks: Whether one picture lies on both sides, or the part was drawn and the figures are beyond chance.
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
class Probe:
    """What was found of all parts that are held out.

    Attributes:
        not_probed: Photographs without a hash, or whose hash says nothing.
        sampled: Share of the others that were looked at.
        parts: By name of the part.
    """

    not_probed: int
    sampled: float
    parts: dict[str, PartProbe]

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)
