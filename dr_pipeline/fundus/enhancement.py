"""Enhancement of the finished canvas; "none" unless params.yaml names another.

| enhancement | result |
|---|---|
| none | the canvas itself |
| ben_graham | 4 · I − 4 · blur(I) + 128, σ = disc radius / 30 (B. Graham, report of the Kaggle competition of 2015) |
| clahe | CLAHE on L of CIE Lab, which preserves the hue (Zuiderveld, Graphics Gems IV, 1994) |
| green | the green channel in all three channels: the channel in which blood and vessels stand out most |

All are applied to the canvas, after its one resize. Their scales are fractions of the disc, so that every camera gets
the same enhancement. The black surround does not affect the rim: before a blur or a tile statistic is computed, the
pixels outside the field are filled with the field's mirror image (across the nearest field pixel). Afterwards they are
black again, outside the disc and where the frame cut the field off; Graham's own script puts grey 128 there.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ParamsError
from dr_pipeline.fundus.canvas import disc_mask, disc_radius_px
from dr_pipeline.fundus.opencv import cv2

NO_ENHANCEMENT = "none"
# Graham's script: the gain on the difference to the local mean, and the radius over the blur's σ.
_GAIN, _RADII_PER_SIGMA, _MIDDLE = 4, 30, 128
# Graham crops the rim at 0.9 of the radius, because his blur includes the surround. With the mirror fill only the disc
# fit's tolerance has to go: lesions at the rim count.
BEN_GRAHAM_RADIUS = 0.98
# Tiles across the canvas, and the limit on a bin relative to a flat histogram; neither depends on the canvas's side.
_CLAHE_TILES, _CLAHE_CLIP = 8, 2.0
# A pixel belongs to the field if its brightest channel is above this level; holes smaller than the blur are lesions.
_VISIBLE_LEVEL = 12


def enhance(canvas: NDArray[np.uint8], enhancement: str) -> NDArray[np.uint8]:
    """Applies an enhancement.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB, black outside the disc.
        enhancement: One of `ENHANCEMENTS`.

    Returns:
        The same shape, black outside the disc; for "none" `canvas` itself.

    Raises:
        ParamsError: The enhancement is unknown.
    """
    require_enhancement(enhancement)
    return _ENHANCEMENTS[enhancement](canvas)


def require_enhancement(name: str) -> None:
    """Raises ParamsError if the enhancement is unknown."""
    if name not in _ENHANCEMENTS:
        raise ParamsError(
            f"unknown enhancement {name!r}",
            where="preprocess.enhancement",
            todo=f"use one of {', '.join(ENHANCEMENTS)}",
        )


def _unchanged(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return canvas


def _green(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(canvas[..., 1:2], 3, axis=2)


def _ben_graham(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    field = _field_mask(canvas, BEN_GRAHAM_RADIUS)
    filled = _mirror_fill(canvas, field).astype(np.float32)
    mean = cv2.GaussianBlur(filled, (0, 0), disc_radius_px(len(canvas)) / _RADII_PER_SIGMA)
    enhanced = np.clip(np.rint(_GAIN * (filled - mean) + _MIDDLE), 0, 255).astype(np.uint8)
    return _masked(enhanced, field)


def _clahe(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    field = _field_mask(canvas, 1.0)
    lab = cv2.cvtColor(_mirror_fill(canvas, field), cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(_CLAHE_CLIP, (_CLAHE_TILES, _CLAHE_TILES)).apply(lab[..., 0])
    return _masked(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), field)


_ENHANCEMENTS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    NO_ENHANCEMENT: _unchanged,
    "ben_graham": _ben_graham,
    "clahe": _clahe,
    "green": _green,
}
ENHANCEMENTS = tuple(_ENHANCEMENTS)


def _field_mask(canvas: NDArray[np.uint8], radius_fraction: float) -> NDArray[np.uint8]:
    """(canvas_px, canvas_px): 255 on the visible part of the disc within a fraction of its radius, else 0."""
    canvas_px = len(canvas)
    visible = cv2.compare(cv2.max(cv2.max(canvas[..., 0], canvas[..., 1]), canvas[..., 2]), _VISIBLE_LEVEL, cv2.CMP_GT)
    reach_px = round(disc_radius_px(canvas_px) / _RADII_PER_SIGMA)
    closed = cv2.morphologyEx(
        visible, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach_px + 1, 2 * reach_px + 1))
    )
    # The outermost pixels are part field, part surround, and are left out.
    return _masked(cv2.erode(closed, np.ones((3, 3), np.uint8)), disc_mask(canvas_px, radius_fraction))


def _mirror_fill(canvas: NDArray[np.uint8], field: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The canvas with each pixel outside the field replaced by its mirror image across the nearest field pixel."""
    outside = field == 0
    if outside.all() or not outside.any():
        return canvas
    _, labels = cv2.distanceTransformWithLabels(
        outside.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    inside_v, inside_u = np.nonzero(~outside)
    nearest = np.zeros((int(labels.max()) + 1, 2), np.intp)  # label → (row, column)
    nearest[labels[inside_v, inside_u]] = np.column_stack((inside_v, inside_u))
    v, u = np.nonzero(outside)
    rim = nearest[labels[v, u]]
    source = np.clip(2 * rim - np.column_stack((v, u)), 0, len(canvas) - 1)
    # In a narrow field the mirror image may fall outside the opposite side; then the nearest field pixel is used.
    source = np.where(outside[source[:, 0], source[:, 1], None], rim, source)
    filled = canvas.copy()
    filled[v, u] = canvas[source[:, 0], source[:, 1]]
    return filled


def _masked(pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    masked: NDArray[np.uint8] = cv2.bitwise_and(pixels, pixels, mask=mask)
    return masked
