"""Draws what raised a grade over the photograph, in colours that colour-blind readers can distinguish."""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.opencv import cv2

_OPACITY = 0.75
# Below this fraction of the strongest place the photograph is as it was.
_SHOWN_FROM = 0.1
_OPAQUE_FROM, _OUTLINED_FROM = 0.35, 0.5
_CAPTION_HEIGHT = 0.022  # of the picture's height


def overlay(rgb: NDArray[np.uint8], found: NDArray[np.float32], caption: str = "") -> NDArray[np.uint8]:
    """The photograph with what raised its grade in cividis (Nunez et al., PLoS ONE 2018).

    Dark blue is weak, yellow strong. The scale is the photograph's own: a weak map looks as strong as another's.
    Half of the strongest and more has an outline. What lowered the grade is not shown.

    Args:
        rgb: (height, width, 3).
        found: The map, (height, width); only what is above 0 is shown.
        caption: ASCII; written into the lower left corner.

    Returns:
        (height, width, 3) RGB.
    """
    strength = np.clip(found, 0, None) / max(float(found.max()), float(np.finfo(np.float32).tiny))
    shown = strength > _SHOWN_FROM
    levels = np.rint(255 * strength[shown]).astype(np.uint8)
    opacity = _OPACITY * np.clip((strength[shown] - _SHOWN_FROM) / (_OPAQUE_FROM - _SHOWN_FROM), 0, 1)[:, None]
    drawn = rgb.copy()
    drawn[shown] = np.rint(rgb[shown] * (1 - opacity) + _palette()[levels] * opacity).astype(np.uint8)
    thickness = max(1, round(len(rgb) / 700))
    outlines, _ = cv2.findContours(
        (strength >= _OUTLINED_FROM).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    cv2.drawContours(drawn, outlines, -1, (255, 255, 255), thickness, cv2.LINE_AA)
    return captioned(drawn, caption) if caption else drawn


def _palette() -> NDArray[np.uint8]:
    """(256, 3) RGB."""
    steps = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_CIVIDIS)
    return np.asarray(cv2.cvtColor(steps, cv2.COLOR_BGR2RGB)[:, 0], np.uint8)


def captioned(drawn: NDArray[np.uint8], caption: str) -> NDArray[np.uint8]:
    """White on black in the lower left corner, where photographs are black as a rule; in place."""
    height, width = drawn.shape[:2]
    font, weight = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(height / 1000))
    (wide, high), _ = cv2.getTextSize(caption, font, 1.0, weight)
    scale = min(_CAPTION_HEIGHT * height / high, 0.96 * width / wide)
    (wide, high), below = cv2.getTextSize(caption, font, scale, weight)
    edge = high // 3
    bottom = height - edge - below
    cv2.rectangle(drawn, (0, bottom - high - edge), (wide + 2 * edge, height), (0, 0, 0), -1)
    cv2.putText(drawn, caption, (edge, bottom), font, scale, (255, 255, 255), weight, cv2.LINE_AA)
    return drawn
