"""Masks on the canonical canvas, by the function that makes the photograph's canvas."""

import numpy as np

from dr_pipeline.fundus.canvas import disc_radius_px, to_canvas
from dr_pipeline.fundus.field import Disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.kinds import KINDS, Kind, Masks, plane, with_plane

# A canvas pixel shows a kind if half of its area does: that keeps each kind's area (0.99 to 1.00 of it on seven IDRiD
# photographs at 1,536 px). Of their 1,781 components 1,749 stay apart; from a quarter on, 1,714: more are joined.
_SHOWN_FROM = 128
# What a degree of the visual angle measures on the retina of an average eye (Drasdo and Fowler, Br J Ophthalmol 1974).
_UM_PER_DEGREE = 288
_CHANNELS = 3


def masks_to_canvas(masks: Masks, disc: Disc, canvas_px: int, *, restore_aspect: bool) -> Masks:
    """The masks as the canvas shows them, (canvas_px, canvas_px); nothing outside the field.

    Args:
        masks: (height, width) of the upright photograph.
        disc: In px of the upright photograph.
        canvas_px: The canvas's side.
        restore_aspect: As for the photograph, see `to_canvas`.
    """
    present = np.bitwise_or.reduce(masks, axis=None)
    kinds = [kind for kind in KINDS if present >> kind.bit & 1]
    result = np.zeros((canvas_px, canvas_px), np.uint16)
    for start in range(0, len(kinds), _CHANNELS):
        together = kinds[start : start + _CHANNELS]
        picture = np.zeros((*masks.shape, _CHANNELS), np.uint8)
        for channel, kind in enumerate(together):
            picture[..., channel] = plane(masks, kind) * np.uint8(255)
        canvas = to_canvas(picture, disc, canvas_px, restore_aspect=restore_aspect)
        for channel, kind in enumerate(together):
            result = with_plane(result, kind, canvas[..., channel] >= _SHOWN_FROM)
    return result


def um_per_px(canvas_px: int, field_degrees: float) -> float:
    """Micrometres of the retina per canvas pixel, where the field's angle is declared."""
    return field_degrees * _UM_PER_DEGREE / (2 * disc_radius_px(canvas_px))


def num_components(masks: Masks, kind: Kind) -> int:
    """Number of separate places that show this kind; pixels that touch at a corner are of one place."""
    return int(cv2.connectedComponents(plane(masks, kind).astype(np.uint8), connectivity=8)[0]) - 1
