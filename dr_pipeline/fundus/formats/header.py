"""The header that every format's reader returns, and the checks that need no pixel."""

from dataclasses import dataclass

from dr_pipeline.errors import ImageError

# Protects from decompression bombs: 200 megapixels is four times the largest fundus camera's picture.
MAX_MEGAPIXELS = 200.0
# A smaller side holds no gradable fundus.
MIN_SIDE_PX = 64


@dataclass(frozen=True)
class Header:
    """What an image file's header states about its picture.

    Attributes:
        format: "jpeg", "png", "tiff", "bmp", "webp" or "dicom".
        width: Of the stored picture, before its orientation is applied, px.
        height: Of the stored picture, before its orientation is applied, px.
        channels: Colour channels without alpha: 1 is grey, 3 colour, 4 CMYK.
        bits: Per channel.
        alpha: Whether there is a transparency channel.
        orientation: EXIF tag 0x0112, 1 (upright) to 8; 1 where the tag is absent or corrupt.
        camera: Maker and model, see `dr_pipeline.fundus.camera`; "" where the file does not state them.
    """

    format: str
    width: int
    height: int
    channels: int
    bits: int
    alpha: bool
    orientation: int
    camera: str = ""


def check_size(header: Header) -> None:
    """Raises ImageError if the picture is too large or too small for a photograph."""
    if header.width * header.height > MAX_MEGAPIXELS * 1e6:
        raise ImageError(f"{header.width}×{header.height} px is more than {MAX_MEGAPIXELS:.0f} megapixels")
    if min(header.width, header.height) < MIN_SIDE_PX:
        raise ImageError(f"{header.width}×{header.height} px: a side under {MIN_SIDE_PX} px shows no fundus")


def require_readable(header: Header) -> None:
    """Raises ImageError if the colours or the depth are not read."""
    if header.channels == 4:
        raise ImageError("CMYK picture: its colours depend on a printer's inks", todo="export it as RGB")
    if header.channels not in (1, 3) or header.bits > 16 or (header.format == "jpeg" and header.bits != 8):
        raise ImageError(f"{header.format.upper()} with {header.channels} channels of {header.bits} bits is not read")


def several_pictures(kind: str) -> ImageError:
    """The error for a file with more than one picture."""
    return ImageError(f"{kind}: which of its pictures is meant is not known", todo="save the one meant as a file")


def truncated(kind: str) -> ImageError:
    """The error for a file that ends early."""
    return ImageError(f"truncated {kind} file", todo="copy the file again from its source")
