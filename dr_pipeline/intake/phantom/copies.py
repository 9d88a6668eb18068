"""Second files of one photograph, made the way a hospital's exports make them.

Strengths: `bytes` is the same file; `resaved` has the same pixels in other bytes; `recompressed` is JPEG at 25 less
quality; `resized` has 80 % of each side; `cropped` lacks 3 % of each side's length, half at either end; `brightened` is
8 % brighter; `turned` is stored rotated with the EXIF orientation that turns it back, and compressed anew.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.intake.phantom.jpeg import encode, encode_turned, with_comment

EXACT_WAYS = ("bytes", "resaved")
NEAR_WAYS = ("recompressed", "resized", "cropped", "brightened", "turned")

QUALITY_LOSS = 25
RESIZED_TO = 0.8
CROPPED_SHARE = 0.03
BRIGHTENED_BY = 1.08
TURNED_ORIENTATION = 6  # camera held on its side


def copy_file(way: str, plain: bytes, rgb: NDArray[np.uint8], quality: int) -> bytes:
    """The copy's file.

    Args:
        way: One of `EXACT_WAYS` or `NEAR_WAYS`.
        plain: The original's file.
        rgb: The original's picture (height, width, 3).
        quality: The original's JPEG quality.

    Raises:
        ValueError: `way` is unknown.
    """
    height, width = rgb.shape[:2]
    if way == "bytes":
        return plain
    if way == "resaved":
        return with_comment(plain, "saved again")
    if way == "recompressed":
        return encode(rgb, quality - QUALITY_LOSS)
    if way == "resized":
        smaller = (round(width * RESIZED_TO), round(height * RESIZED_TO))
        return encode(cv2.resize(rgb, smaller, interpolation=cv2.INTER_AREA), quality)
    if way == "cropped":
        x, y = round(width * CROPPED_SHARE / 2), round(height * CROPPED_SHARE / 2)
        return encode(np.ascontiguousarray(rgb[y : height - y, x : width - x]), quality)
    if way == "brightened":
        return encode(cv2.convertScaleAbs(rgb, alpha=BRIGHTENED_BY), quality)
    if way == "turned":
        return encode_turned(rgb, quality, TURNED_ORIENTATION)
    raise ValueError(f"unknown way to copy: {way!r}")
