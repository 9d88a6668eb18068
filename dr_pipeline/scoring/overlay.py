"""Draws what raised a grade over the photograph, in colours that colour-blind readers can distinguish."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.opencv import cv2

_OPACITY = 0.75
# Below this fraction of the strongest place the photograph is as it was.
_SHOWN_FROM = 0.1
_OPAQUE_FROM, _OUTLINED_FROM = 0.35, 0.5
# Height of capitals, of the shorter side; smaller letters are not legible, nor fewer words on a line.
_TEXT_FRACTION = 0.02
_MIN_TEXT_PX, _MIN_STRIP_PX = 12, 480


def overlay(rgb: NDArray[np.uint8], found: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The photograph with what raised its grade in cividis (Nunez et al., PLoS ONE 2018).

    Dark blue is weak, yellow strong. The scale is the photograph's own: a weak map looks as strong as another's.
    Half of the strongest and more has an outline. What lowered the grade is not shown.

    Args:
        rgb: (height, width, 3).
        found: The map, (height, width); only what is above 0 is shown.

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
    return drawn


def _palette() -> NDArray[np.uint8]:
    """(256, 3) RGB."""
    steps = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_CIVIDIS)
    return np.asarray(cv2.cvtColor(steps, cv2.COLOR_BGR2RGB)[:, 0], np.uint8)


def captioned(
    drawn: NDArray[np.uint8], caption: str, legend: Sequence[tuple[tuple[int, int, int], str]] = ()
) -> NDArray[np.uint8]:
    """The picture with a strip below, white on black, in which nothing of it is hidden: a legend and a caption.

    The picture's pixels stay where they are from the upper left corner. At its right there is black where it is
    narrower than a few legible words.

    Args:
        drawn: (height, width, 3) RGB.
        caption: ASCII; each of its lines is wrapped.
        legend: Colours, RGB, and what they mean, ASCII.

    Returns:
        (height + the strip's, max(width, 480), 3) RGB.
    """
    height, width = drawn.shape[:2]
    text = _Text(max(_MIN_TEXT_PX, round(_TEXT_FRACTION * min(height, width))))
    wide = max(width, _MIN_STRIP_PX)
    paragraphs = [_paragraph(line, text, wide) for line in caption.splitlines()]
    strip = np.vstack([_black(text.px // 2, wide), _legend(legend, text, wide), *paragraphs])
    whole = _black(height + len(strip), wide)
    whole[:height, :width] = drawn
    whole[height:] = strip
    return whole


class _Text:
    """Text of capitals `px` high, in lines of `step` px."""

    def __init__(self, px: int) -> None:
        self.px, self.step, self._weight = px, round(1.75 * px), max(1, round(px / 14))
        self._scale = px / cv2.getTextSize("H", cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)[0][1]

    def width(self, text: str) -> int:
        """In px."""
        return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, self._scale, self._weight)[0][0])

    def write(self, on: NDArray[np.uint8], text: str, left: int, bottom: int) -> None:
        """Writes in place, white."""
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(on, text, (left, bottom), font, self._scale, (255, 255, 255), self._weight, cv2.LINE_AA)


def _legend(legend: Sequence[tuple[tuple[int, int, int], str]], text: _Text, wide: int) -> NDArray[np.uint8]:
    indent = round(1.5 * text.px)
    places = _flow([indent + text.width(name) for _, name in legend], 2 * text.px, wide - text.px)
    lines = _black(text.step * (max((row for row, _ in places), default=-1) + 1), wide)
    for (colour, name), (row, x) in zip(legend, places, strict=True):
        left, bottom = text.px // 2 + x, row * text.step + text.px
        cv2.rectangle(lines, (left, bottom - text.px), (left + text.px, bottom), colour, -1)
        text.write(lines, name, left + indent, bottom)
    return lines


def _paragraph(caption: str, text: _Text, wide: int) -> NDArray[np.uint8]:
    words = caption.split()
    places = _flow([text.width(word) for word in words], text.px // 3, wide - text.px)
    lines = _black(text.step * (max((row for row, _ in places), default=-1) + 1), wide)
    for word, (row, x) in zip(words, places, strict=True):
        text.write(lines, word, text.px // 2 + x, row * text.step + text.px)
    return lines


def _flow(widths: Sequence[int], gap: int, room: int) -> list[tuple[int, int]]:
    """Row and left edge of each of several things that stand side by side, as many as there is room for."""
    places, row, x = [], 0, 0
    for width in widths:
        if x and x + width > room:
            row, x = row + 1, 0
        places.append((row, x))
        x += width + gap
    return places


def _black(height: int, width: int) -> NDArray[np.uint8]:
    return np.zeros((height, width, 3), np.uint8)
