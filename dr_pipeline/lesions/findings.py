"""What was found in one photograph: lesions with sizes and places, landmarks, and how lengths were measured.

Imports nothing heavy: the process that writes the tables needs no network.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dr_pipeline.schema import Eye

# Of the optic disc: the convention by which lengths on the retina are stated (ETDRS report 10, Ophthalmology
# 1991;98:786).
DISC_DIAMETER_UM = 1500.0


class Yardstick(StrEnum):
    """By what pixels become µm."""

    OPTIC_DISC = "optic_disc"  # its diameter is 1,500 µm
    FIELD = "declared_field"  # the angle of view that the lesion network declares


class FoveaMethod(StrEnum):
    """How the fovea was found."""

    NETWORK = "network"
    DARKEST = "darkest_near_expected"
    EXPECTED = "expected_place"
    NONE = "none"


@dataclass(frozen=True)
class Lesion:
    """One lesion; positions in px of the upright original, lengths in µm.

    Attributes:
        kind: Its name.
        x: Of its centroid.
        y: Likewise.
        area_mm2: Its area.
        diameter_um: Of the circle of the same area.
        longest_um: Its largest diameter.
        probability: The network's largest in it.
        quadrant: One of `dr_pipeline.lesions.quadrants.Quadrant`; "" without disc and fovea.
        fovea_um: From the fovea to its nearest edge, 0 where the fovea is in it; None without fovea.
        outline: Its corners, px of the original.
    """

    kind: str
    x: float
    y: float
    area_mm2: float
    diameter_um: float
    longest_um: float
    probability: float
    quadrant: str
    fovea_um: float | None
    outline: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Findings:
    """What was found; positions in px of the upright original.

    Attributes:
        kinds: What the network looks for, landmarks included.
        lesions: By kind in the order of `kinds`, from top to bottom.
        disc: X, y and diameter of the optic disc; None where none was found.
        fovea: X and y; None where it is not known.
        fovea_method: How it was found.
        yardstick: By what lengths were measured.
        um_per_px: Of the original, mean of both directions.
        window: Left, top, width and height of what the lesion network saw.
    """

    kinds: tuple[str, ...]
    lesions: tuple[Lesion, ...]
    disc: tuple[float, float, float] | None
    fovea: tuple[float, float] | None
    fovea_method: FoveaMethod
    yardstick: Yardstick
    um_per_px: float
    window: tuple[float, float, float, float]

    @property
    def side(self) -> Eye:
        """Of the eye: the temple is where the fovea is."""
        if self.disc is None or self.fovea is None:
            return Eye.UNKNOWN
        return Eye.LEFT if self.fovea[0] > self.disc[0] else Eye.RIGHT

    def count(self, kind: str) -> int | None:
        """Number of lesions of a kind; None where the network does not look for it."""
        return sum(lesion.kind == kind for lesion in self.lesions) if kind in self.kinds else None

    def area_mm2(self, kind: str) -> float | None:
        """Their area together; None where the network does not look for the kind."""
        return sum(lesion.area_mm2 for lesion in self.lesions if lesion.kind == kind) if kind in self.kinds else None

    def by_quadrant(self, kind: str) -> dict[str, int] | None:
        """Number of lesions of a kind by quadrant; None where quadrants or the kind are not known."""
        if self.disc is None or self.fovea is None or kind not in self.kinds:
            return None
        return Counter(lesion.quadrant for lesion in self.lesions if lesion.kind == kind)

    def nearest_um(self, kind: str) -> float | None:
        """From the fovea to the nearest edge of a lesion of a kind; None where there is none, or no fovea."""
        distances = (lesion.fovea_um for lesion in self.lesions if lesion.kind == kind)
        return min((distance for distance in distances if distance is not None), default=None)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Findings":
        """Reads what `dataclasses.asdict` and JSON made of it."""
        lesions = (
            Lesion(**lesion | {"outline": tuple((x, y) for x, y in lesion["outline"])}) for lesion in value["lesions"]
        )
        return cls(
            kinds=tuple(value["kinds"]),
            lesions=tuple(lesions),
            disc=_point(value["disc"]),
            fovea=_point(value["fovea"]),
            fovea_method=FoveaMethod(value["fovea_method"]),
            yardstick=Yardstick(value["yardstick"]),
            um_per_px=value["um_per_px"],
            window=tuple(value["window"]),
        )


def _point(values: Sequence[float] | None) -> Any:
    return None if values is None else tuple(values)
