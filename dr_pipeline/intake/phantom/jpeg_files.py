"""JPEG files of the phantom: EXIF orientations, comments, and the second files that hospital exports leave behind.

Kinds of copy: `bytes` is the same file; `resaved` has the same pixels in other bytes; `recompressed` has a JPEG
quality 25 lower; `resized` has 80 % of each side; `cropped` loses 3 % of each side, half at either end; `brightened` is
8 % brighter; `turned` is stored rotated, with the EXIF orientation that turns it back, and recompressed.
"""

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.lesions.kinds import Masks

EXACT_COPIES = ("bytes", "resaved")
NEAR_COPIES = ("recompressed", "resized", "cropped", "brightened", "turned")

QUALITY_LOSS = 25
RESIZED_TO = 0.8
CROPPED_FRACTION = 0.03
BRIGHTENED_BY = 1.08
TURNED_ORIENTATION = 6  # camera held on its side

# EXIF orientation (CIPA DC-008, tag 0x0112) → the rotation by which an upright image is stored.
STORED_ROTATIONS = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_COUNTERCLOCKWISE, 8: cv2.ROTATE_90_CLOCKWISE}
_START_OF_IMAGE = b"\xff\xd8"


def encode(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """Compresses an RGB image (height, width, 3)."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    written, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not written:
        raise RuntimeError(f"cv2 could not encode a image of shape {rgb.shape}")
    return data.tobytes()


def encode_masks(masks: Masks) -> bytes:
    """Compresses masks (height, width) as grey PNG of 16 bits per pixel."""
    written, data = cv2.imencode(".png", masks)
    if not written:
        raise RuntimeError(f"cv2 could not encode masks of shape {masks.shape}")
    return data.tobytes()


def encode_turned(rgb: NDArray[np.uint8], quality: int, orientation: int) -> bytes:
    """Stores an upright image rotated, with the EXIF orientation that makes a viewer turn it back."""
    return with_orientation(encode(cv2.rotate(rgb, STORED_ROTATIONS[orientation]), quality), orientation)


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The same stored image with an EXIF orientation, 1 to 8."""
    return _with_segment(jpeg, 0xE1, _exif(orientation))


def with_comment(jpeg: bytes, text: str) -> bytes:
    """The same image, pixel for pixel, in a file with other bytes."""
    return _with_segment(jpeg, 0xFE, text.encode())


def copy_file(kind: str, original: bytes, rgb: NDArray[np.uint8], quality: int) -> bytes:
    """The file of a copy of a photograph.

    Args:
        kind: One of `EXACT_COPIES` or `NEAR_COPIES`.
        original: The original's file.
        rgb: The original's image (height, width, 3).
        quality: The original's JPEG quality.

    Raises:
        ValueError: `kind` is unknown.
    """
    height, width = rgb.shape[:2]
    if kind == "bytes":
        return original
    if kind == "resaved":
        return with_comment(original, "saved again")
    if kind == "recompressed":
        return encode(rgb, quality - QUALITY_LOSS)
    if kind == "resized":
        smaller = (round(width * RESIZED_TO), round(height * RESIZED_TO))
        return encode(cv2.resize(rgb, smaller, interpolation=cv2.INTER_AREA), quality)
    if kind == "cropped":
        x, y = round(width * CROPPED_FRACTION / 2), round(height * CROPPED_FRACTION / 2)
        return encode(np.ascontiguousarray(rgb[y : height - y, x : width - x]), quality)
    if kind == "brightened":
        return encode(cv2.convertScaleAbs(rgb, alpha=BRIGHTENED_BY), quality)
    if kind == "turned":
        return encode_turned(rgb, quality, TURNED_ORIENTATION)
    raise ValueError(f"unknown kind of copy: {kind!r}")


def _exif(orientation: int) -> bytes:
    """An EXIF body with one directory of one entry: tag 0x0112, type SHORT, count 1."""
    directory = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    return b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + directory


def _with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """Inserts a segment right after the start-of-image marker; its length field counts itself."""
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
    return _START_OF_IMAGE + segment + jpeg[len(_START_OF_IMAGE) :]
