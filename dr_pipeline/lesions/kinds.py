"""The kinds of lesions and landmarks that a mask may show; one pixel may show several."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError

Masks = NDArray[np.uint16]


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        name: In params.yaml, tables and reports.
        bit: Of a mask's 16-bit pixel; it never changes, since stored masks depend on it.
        colour: RGB of overlays. Of Okabe and Ito's colour-blind safe palette ("Color Universal Design", 2008) and of
            Paul Tol's bright scheme.
        abbreviation: Of file names, as IDRiD writes it.
        is_lesion: Whether it is a lesion, not a landmark.
    """

    name: str
    bit: int
    colour: tuple[int, int, int]
    abbreviation: str
    is_lesion: bool = True


MICROANEURYSMS = Kind("microaneurysms", 0, (213, 94, 0), "MA")
HEMORRHAGES = Kind("hemorrhages", 1, (204, 121, 167), "HE")
HARD_EXUDATES = Kind("hard_exudates", 2, (240, 228, 66), "EX")
COTTON_WOOL_SPOTS = Kind("cotton_wool_spots", 3, (86, 180, 233), "SE")
IRMA = Kind("irma", 4, (0, 158, 115), "IRMA")
VENOUS_BEADING = Kind("venous_beading", 5, (0, 114, 178), "VB")
NEW_VESSELS = Kind("new_vessels", 6, (230, 159, 0), "NV")
PRERETINAL_HEMORRHAGES = Kind("preretinal_hemorrhages", 7, (170, 51, 119), "PRH")
FIBROUS_TISSUE = Kind("fibrous_tissue", 8, (187, 187, 187), "FP")
OPTIC_DISC = Kind("optic_disc", 9, (255, 255, 255), "OD", is_lesion=False)
# A circle of half a disc diameter about the fovea's centre, to be found, not outlined.
FOVEA = Kind("fovea", 10, (0, 0, 0), "FOVEA", is_lesion=False)

KINDS = (
    MICROANEURYSMS,
    HEMORRHAGES,
    HARD_EXUDATES,
    COTTON_WOOL_SPOTS,
    IRMA,
    VENOUS_BEADING,
    NEW_VESSELS,
    PRERETINAL_HEMORRHAGES,
    FIBROUS_TISSUE,
    OPTIC_DISC,
    FOVEA,
)
_BY_NAME = {kind.name: kind for kind in KINDS}


def kinds_named(names: Iterable[str], *, where: str) -> tuple[Kind, ...]:
    """The kinds of these names, in their order.

    Raises:
        DataError: A name is unknown, or is named twice.
    """
    names = list(names)
    unknown = [name for name in names if name not in _BY_NAME]
    if unknown or len(set(names)) != len(names):
        raise DataError(
            f"no kind of lesion: {', '.join(unknown)}" if unknown else "names a kind of lesion twice",
            where=where,
            todo=f"choose from {', '.join(_BY_NAME)}",
        )
    return tuple(_BY_NAME[name] for name in names)


def plane(masks: Masks, kind: Kind) -> NDArray[np.bool_]:
    """Where a mask shows this kind, of the mask's shape."""
    return (masks >> np.uint16(kind.bit) & np.uint16(1)).astype(np.bool_)


def with_plane(masks: Masks, kind: Kind, shown: NDArray[np.bool_]) -> Masks:
    """The masks with this kind shown at the pixels `shown` as well."""
    return masks | shown.astype(np.uint16) << np.uint16(kind.bit)
