"""The pixel path, one versioned object: a file's bytes → the canonical canvas, its geometry, hash and quality."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import BundleError
from dr_pipeline.files import sha256_json
from dr_pipeline.fundus.canvas import model_input, to_canvas
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.disc import Disc, find_disc
from dr_pipeline.fundus.quality import Quality, assess

__all__ = ["PIXEL_PATH_VERSION", "Disc", "Photograph", "PixelPath", "Quality", "model_input"]

# Raised with every change that alters a canvas, a hash or a status: artefacts of another version are refused.
PIXEL_PATH_VERSION = 1


@dataclass(frozen=True, eq=False)
class Photograph:
    """One photograph as everything after the pixel path knows it.

    Attributes:
        canvas: (canvas_px, canvas_px, 3) RGB, disc centred, radius normalised, black outside the disc.
        width: Of the upright original, px.
        height: Of the upright original, px.
        pixel_sha256: Of the decoded upright pixels with their shape.
        disc: In px of the upright original.
        quality: Score, reasons and status.
    """

    canvas: NDArray[np.uint8]
    width: int
    height: int
    pixel_sha256: str
    disc: Disc
    quality: Quality


@dataclass(frozen=True)
class PixelPath:
    """The path and its one parameter.

    Attributes:
        canvas_px: The canvas's side.
    """

    canvas_px: int

    def process(self, data: bytes) -> Photograph:
        """Takes a file's bytes all the way.

        Raises:
            ImageError: The file does not give a picture; see the policies of `dr_pipeline.fundus.decode`.
        """
        decoded = decode(data, self.canvas_px)
        found = find_disc(decoded.pixels)
        canvas, disc = to_canvas(decoded.pixels, found, self.canvas_px), found.scaled(decoded.scale)
        return Photograph(
            canvas=canvas,
            width=decoded.width,
            height=decoded.height,
            pixel_sha256=decoded.pixel_sha256,
            disc=disc,
            quality=assess(canvas, disc),
        )

    def to_dict(self) -> dict[str, int | str]:
        """What every artefact made from canvases records."""
        return {"version": PIXEL_PATH_VERSION, "canvas_px": self.canvas_px}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "PixelPath":
        """Reads `to_dict`'s result back.

        Raises:
            BundleError: It is of another version or malformed.
        """
        if value.get("version") != PIXEL_PATH_VERSION:
            raise BundleError(
                f"made with pixel path version {value.get('version')!r}; this program has {PIXEL_PATH_VERSION}",
                todo="use the program of that version, or make the artefact anew",
            )
        canvas_px = value.get("canvas_px")
        if set(value) != {"version", "canvas_px"} or type(canvas_px) is not int or canvas_px < 1:
            raise BundleError(f"a pixel path cannot be read from {dict(value)!r}")
        return cls(canvas_px)

    @property
    def fingerprint(self) -> str:
        """Hash of `to_dict`."""
        return sha256_json(self.to_dict())
