"""Arms: declared enhancements of the finished canvas, each off unless params.yaml names it.

| arm | what the canvas becomes |
|---|---|
| none | itself |
| ben_graham | 4 · I − 4 · blur(I) + 128, σ = disc radius / 30 (B. Graham, report of the Kaggle competition of 2015) |
| clahe | CLAHE on L of CIE Lab, so that the hue stays (Zuiderveld, Graphics Gems IV, 1994) |
| green | its green channel, three times: the channel in which blood and vessels stand out most |

All work on the canvas, after its one resize: their scales are shares of the disc, so no camera gets another
enhancement than the next. The black surround never bleeds into the rim: before a blur or a tile is taken, what lies
outside the field is filled with the field's mirror picture (across the nearest pixel of the field). Afterwards it is
black again, outside the disc and where the frame cut the field off; Graham's own script puts grey 128 there.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ParamsError
from dr_pipeline.fundus.canvas import disc_mask, disc_radius_px
from dr_pipeline.fundus.opencv import cv2

NO_ARM = "none"
# Graham's script: the gain on the difference to the local mean, and the radius over the blur's σ.
_GAIN, _RADII_PER_SIGMA, _MIDDLE = 4, 30, 128
# Graham cuts the rim at 0.9 of the radius, since his blur takes the surround in. The mirror fill does not, so all but
# the disc fit's tolerance stays: lesions at the rim count.
BEN_GRAHAM_RADIUS = 0.98
# Tiles across the canvas, and the limit on a bin relative to a flat histogram; both free of the canvas's side.
_CLAHE_TILES, _CLAHE_CLIP = 8, 2.0
# A pixel belongs to the field where its brightest channel is above this level; holes smaller than the blur are lesions.
_SEEN_LEVEL = 12


def enhance(canvas: NDArray[np.uint8], arm: str) -> NDArray[np.uint8]:
    """Applies an arm.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB, black outside the disc.
        arm: One of `ARMS`.

    Returns:
        The same shape, black outside the disc; `canvas` itself for the arm "none".

    Raises:
        ParamsError: There is no such arm.
    """
    require_arm(arm)
    return _ARMS[arm](canvas)


def require_arm(arm: str) -> None:
    """Raises ParamsError where there is no such arm."""
    if arm not in _ARMS:
        raise ParamsError(f"no arm {arm!r}", where="preprocess.enhancement", todo=f"use one of {', '.join(ARMS)}")


def _unchanged(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return canvas


def _green(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(canvas[..., 1:2], 3, axis=2)


def _ben_graham(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    field = _field(canvas, BEN_GRAHAM_RADIUS)
    filled = _mirrored(canvas, field).astype(np.float32)
    mean = cv2.GaussianBlur(filled, (0, 0), disc_radius_px(len(canvas)) / _RADII_PER_SIGMA)
    enhanced = np.clip(np.rint(_GAIN * (filled - mean) + _MIDDLE), 0, 255).astype(np.uint8)
    return _masked(enhanced, field)


def _clahe(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    field = _field(canvas, 1.0)
    lab = cv2.cvtColor(_mirrored(canvas, field), cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(_CLAHE_CLIP, (_CLAHE_TILES, _CLAHE_TILES)).apply(lab[..., 0])
    return _masked(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), field)


_ARMS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    NO_ARM: _unchanged,
    "ben_graham": _ben_graham,
    "clahe": _clahe,
    "green": _green,
}
ARMS = tuple(_ARMS)


def _field(canvas: NDArray[np.uint8], radius_share: float) -> NDArray[np.uint8]:
    """(canvas_px, canvas_px): 255 on the lit part of the disc within a share of its radius, else 0."""
    canvas_px = len(canvas)
    lit = cv2.compare(cv2.max(cv2.max(canvas[..., 0], canvas[..., 1]), canvas[..., 2]), _SEEN_LEVEL, cv2.CMP_GT)
    reach_px = round(disc_radius_px(canvas_px) / _RADII_PER_SIGMA)
    closed = cv2.morphologyEx(
        lit, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach_px + 1, 2 * reach_px + 1))
    )
    # The outermost pixels are part field, part surround: they are no field.
    return _masked(cv2.erode(closed, np.ones((3, 3), np.uint8)), disc_mask(canvas_px, radius_share))


def _mirrored(canvas: NDArray[np.uint8], field: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The canvas with each pixel outside the field replaced by its mirror picture across the nearest field pixel."""
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
    # A narrow field's mirror picture may fall off its other side: there the nearest pixel itself is taken.
    source = np.where(outside[source[:, 0], source[:, 1], None], rim, source)
    filled = canvas.copy()
    filled[v, u] = canvas[source[:, 0], source[:, 1]]
    return filled


def _masked(pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    kept: NDArray[np.uint8] = cv2.bitwise_and(pixels, pixels, mask=mask)
    return kept
