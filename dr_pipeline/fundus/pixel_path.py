"""The pixel path, one versioned object: a file's bytes → the canonical canvas, its geometry, hashes and quality.

Hash, burnt-in text and quality are those of the plain canvas: they say the same of a photograph whatever the arm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import BundleError
from dr_pipeline.files import sha256_json
from dr_pipeline.fundus.burned_in_text import has_annotation
from dr_pipeline.fundus.canvas import model_input, to_canvas
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.enhancement import ARMS, NO_ARM, enhance, require_arm
from dr_pipeline.fundus.field import Disc, find_disc
from dr_pipeline.fundus.perceptual_hash import perceptual_hash
from dr_pipeline.fundus.quality.assess import Quality, assess

__all__ = ["PIXEL_PATH_VERSION", "Disc", "Photograph", "PixelPath", "Quality", "model_input"]

# Raised with every change that alters a canvas, a hash or a status: artefacts of another version are refused.
PIXEL_PATH_VERSION = 2


@dataclass(frozen=True, eq=False)
class Photograph:
    """One photograph as everything after the pixel path knows it.

    Attributes:
        canvas: (canvas_px, canvas_px, 3) RGB, disc centred, radius normalised, enhanced by the path's arm, black
            outside the disc.
        width: Of the upright original, px.
        height: Of the upright original, px.
        format: "jpeg", "png", "tiff", "bmp", "webp" or "dicom", by content.
        pixel_sha256: Of the decoded upright pixels with their shape.
        perceptual_hash: Of the canonical disc, 64 hexadecimal digits; like in near duplicates.
        disc: In px of the upright original.
        annotation: Whether text seems to be burnt in beside the disc.
        quality: Score, reasons and status.
    """

    canvas: NDArray[np.uint8]
    width: int
    height: int
    format: str
    pixel_sha256: str
    perceptual_hash: str
    disc: Disc
    annotation: bool
    quality: Quality


@dataclass(frozen=True)
class PixelPath:
    """The path and its parameters.

    Attributes:
        canvas_px: The canvas's side.
        arm: The canvas's enhancement, one of `dr_pipeline.fundus.enhancement.ARMS`.

    Raises:
        ParamsError: There is no such arm.
    """

    canvas_px: int
    arm: str = NO_ARM

    def __post_init__(self) -> None:
        """Refuses an unknown arm."""
        require_arm(self.arm)

    def process(self, data: bytes) -> Photograph:
        """Takes a file's bytes all the way.

        Raises:
            ImageError: The file does not give a picture; see the policies of `dr_pipeline.fundus.decode`.
        """
        decoded = decode(data, self.canvas_px)
        found = find_disc(decoded.pixels)
        canvas, disc = to_canvas(decoded.pixels, found, self.canvas_px), found.scaled(decoded.scale)
        return Photograph(
            canvas=enhance(canvas, self.arm),
            width=decoded.width,
            height=decoded.height,
            format=decoded.format,
            pixel_sha256=decoded.pixel_sha256,
            perceptual_hash=perceptual_hash(canvas),
            disc=disc,
            annotation=has_annotation(decoded.pixels, found),
            quality=assess(canvas, disc),
        )

    def to_dict(self) -> dict[str, int | str]:
        """What every artefact made from canvases records."""
        return {"version": PIXEL_PATH_VERSION, "canvas_px": self.canvas_px, "arm": self.arm}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "PixelPath":
        """Reads `to_dict`'s result back.

        Raises:
            BundleError: It is of another version, has other parameters, or is malformed.
        """
        if value.get("version") != PIXEL_PATH_VERSION:
            raise BundleError(
                f"made with pixel path version {value.get('version')!r}; this program has {PIXEL_PATH_VERSION}",
                todo="use the program of that version, or make the artefact anew",
            )
        canvas_px, arm = value.get("canvas_px"), value.get("arm")
        if set(value) != {"version", "canvas_px", "arm"} or type(canvas_px) is not int or canvas_px < 1:
            raise BundleError(f"a pixel path cannot be read from {dict(value)!r}")
        if type(arm) is not str or arm not in ARMS:
            raise BundleError(f"made with the arm {arm!r}; this program has {', '.join(ARMS)}")
        return cls(canvas_px, arm)

    @property
    def fingerprint(self) -> str:
        """Hash of `to_dict`."""
        return sha256_json(self.to_dict())
