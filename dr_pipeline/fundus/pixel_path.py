"""The pixel path, one versioned object: a file's bytes → the canonical canvas, its geometry, hashes and quality.

Perceptual hash, burnt-in text and quality are computed before the enhancement and do not depend on it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import BundleError, ParamsError
from dr_pipeline.files import sha256_json
from dr_pipeline.fundus.burned_in_text import has_annotation
from dr_pipeline.fundus.canvas import Window, canvas_window, model_input, to_canvas
from dr_pipeline.fundus.decode import DecodedImage, decode
from dr_pipeline.fundus.enhancement import ENHANCEMENTS, NO_ENHANCEMENT, enhance, require_enhancement
from dr_pipeline.fundus.field import CIRCLE, SEVERAL_FIELDS, Disc, find_disc
from dr_pipeline.fundus.perceptual_hash import perceptual_hash
from dr_pipeline.fundus.quality.already_enhanced import PERSON, POLICIES, require_policy
from dr_pipeline.fundus.quality.assess import Quality, assess
from dr_pipeline.schema import Status

__all__ = ["PIXEL_PATH_VERSION", "Disc", "Photograph", "PixelPath", "Quality", "model_input"]

# Raised with every change that alters a canvas, a hash or a status; artefacts of another version are refused.
PIXEL_PATH_VERSION = 5
RESTORE, KEEP = "restore", "keep"
ASPECTS = (RESTORE, KEEP)
# Reasons that come from the file, not from the picture: a person must look at it; it holds more than one picture.
DAMAGED, TRAILING_DATA = "damaged", "trailing_data"


@dataclass(frozen=True, eq=False)
class Photograph:
    """The result of the pixel path for one photograph.

    Attributes:
        canvas: (canvas_px, canvas_px, 3) RGB, disc centred, radius normalised, enhanced; black outside the disc.
        width: Of the upright original, px.
        height: Of the upright original, px.
        format: "jpeg", "png", "tiff", "bmp", "webp" or "dicom", by content.
        pixel_hash: Of the decoded upright pixels and their shape.
        perceptual_hash: Of the canonical disc, 64 hexadecimal digits; similar for near duplicates.
        disc: In px of the upright original.
        window: What the canvas shows, in px of the upright original.
        aspect_restored: Whether the field was an ellipse and is a circle on the canvas.
        annotation: Whether text seems to be burnt in beside the disc; None where it was not searched.
        quality: Score, reasons and status.
        camera: Maker and model, as the file states them; "" where it does not.
    """

    canvas: NDArray[np.uint8]
    width: int
    height: int
    format: str
    pixel_hash: str
    perceptual_hash: str
    disc: Disc
    window: Window
    aspect_restored: bool
    annotation: bool | None
    quality: Quality
    camera: str


def _no_lap(_step: str) -> None:
    """Ignores the end of a step."""


@dataclass(frozen=True)
class PixelPath:
    """The path and its parameters.

    Attributes:
        canvas_px: The canvas's side.
        enhancement: One of `dr_pipeline.fundus.enhancement.ENHANCEMENTS`; stored as `arm`.
        aspect: What becomes of a picture that was squashed or stretched, so that its field is an ellipse: RESTORE (a
            circle again) or KEEP.
        already_enhanced: What to do with photographs that were enhanced before they came here: one of
            `dr_pipeline.fundus.quality.already_enhanced.POLICIES`.

    Raises:
        ParamsError: The enhancement or the policy is unknown.
    """

    canvas_px: int
    enhancement: str = NO_ENHANCEMENT
    aspect: str = RESTORE
    already_enhanced: str = PERSON

    def __post_init__(self) -> None:
        """Validates the enhancement and the policies."""
        require_enhancement(self.enhancement)
        require_policy(self.already_enhanced)
        if self.aspect not in ASPECTS:
            raise ParamsError(f"unknown policy {self.aspect!r}", where="preprocess.aspect", todo=" or ".join(ASPECTS))

    def process(self, data: bytes, *, find_text: bool = True, lap: Callable[[str], None] = _no_lap) -> Photograph:
        """Processes a file's bytes.

        Args:
            data: The file's bytes.
            find_text: Whether to search burnt-in text, which takes a seventh of the time.
            lap: Called with a step's name when the step has ended: `decode`, `disc`, `canvas`, `hashes`, `text`,
                `quality`.

        Raises:
            ImageError: The file yields no picture; see the policies of `dr_pipeline.fundus.decode`.
        """
        decoded = decode(data, self.canvas_px)
        lap("decode")
        decoded_disc = find_disc(decoded.pixels)
        lap("disc")
        restore = self.aspect == RESTORE
        plain_canvas = to_canvas(decoded.pixels, decoded_disc, self.canvas_px, restore_aspect=restore)
        canvas = enhance(plain_canvas, self.enhancement)
        lap("canvas")
        pixel_hash, similarity_hash = decoded.pixel_hash, perceptual_hash(plain_canvas)
        lap("hashes")
        annotation = has_annotation(decoded.pixels, decoded_disc) if find_text else None
        lap("text")
        disc = decoded_disc.scaled(decoded.scale)
        quality = assess(plain_canvas, disc, already_enhanced=self.already_enhanced)
        lap("quality")
        return Photograph(
            canvas=canvas,
            width=decoded.width,
            height=decoded.height,
            format=decoded.format,
            pixel_hash=pixel_hash,
            perceptual_hash=similarity_hash,
            disc=disc,
            window=canvas_window(decoded_disc, self.canvas_px, restore_aspect=restore).scaled(decoded.scale),
            aspect_restored=restore and disc.fit == CIRCLE and disc.aspect != 1,
            annotation=annotation,
            quality=_with_file_s_reasons(quality, decoded),
            camera=decoded.camera,
        )

    def to_dict(self) -> dict[str, int | str]:
        """Version and parameters, as recorded in every artefact that is made from canvases."""
        return {
            "version": PIXEL_PATH_VERSION,
            "canvas_px": self.canvas_px,
            "arm": self.enhancement,
            "aspect": self.aspect,
            "already_enhanced": self.already_enhanced,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "PixelPath":
        """Reads the result of `to_dict`.

        Raises:
            BundleError: It is of another version, has other parameters, or is malformed.
        """
        if value.get("version") != PIXEL_PATH_VERSION:
            raise BundleError(
                f"made with pixel path version {value.get('version')!r}; this program has {PIXEL_PATH_VERSION}",
                todo="use the program of that version, or rebuild the artefact",
            )
        canvas_px, enhancement = value.get("canvas_px"), value.get("arm")
        aspect, policy = value.get("aspect"), value.get("already_enhanced")
        keys = {"version", "canvas_px", "arm", "aspect", "already_enhanced"}
        if set(value) != keys or type(canvas_px) is not int or canvas_px < 1:
            raise BundleError(f"a pixel path cannot be read from {dict(value)!r}")
        if type(enhancement) is not str or enhancement not in ENHANCEMENTS:
            raise BundleError(f"made with the enhancement {enhancement!r}; this program has {', '.join(ENHANCEMENTS)}")
        if type(aspect) is not str or aspect not in ASPECTS:
            raise BundleError(f"made with the aspect policy {aspect!r}; this program has {', '.join(ASPECTS)}")
        if type(policy) is not str or policy not in POLICIES:
            raise BundleError(f"made with already_enhanced {policy!r}; this program has {', '.join(POLICIES)}")
        return cls(canvas_px, enhancement, aspect, policy)

    @property
    def fingerprint(self) -> str:
        """Hash of `to_dict`."""
        return sha256_json(self.to_dict())


def _with_file_s_reasons(quality: Quality, decoded: DecodedImage) -> Quality:
    """A photograph that may be damaged goes to a person; other data is a remark only.

    Two photographs one above the other meet in a seam, which is then no damage; nor are the lines of a page or a scan.
    """
    if decoded.doubt and quality.status is not Status.NOT_FUNDUS and SEVERAL_FIELDS not in quality.reasons:
        return Quality(0.0, 0.0, (DAMAGED,), Status.UNGRADABLE, quality.appearance)
    if decoded.notes and quality.status is Status.SCORED:
        return replace(quality, reasons=(*quality.reasons, TRAILING_DATA))
    return quality
