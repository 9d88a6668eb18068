"""What an image file says of itself before a pixel is decoded, and what is refused on that account alone."""

from dataclasses import dataclass

from dr_pipeline.errors import ImageError

# A decompression bomb is refused from the header: 200 megapixels is four times the largest fundus camera's picture.
MAX_MEGAPIXELS = 200.0
# Fewer pixels a side hold no gradable fundus.
MIN_SIDE_PX = 64


@dataclass(frozen=True)
class Header:
    """One image file's own account of its picture.

    Attributes:
        format: "jpeg", "png", "tiff", "bmp", "webp" or "dicom".
        width: Of the stored picture, before any turn, px.
        height: Of the stored picture, before any turn, px.
        channels: Colour channels without alpha: 1 is grey, 3 colour, 4 CMYK.
        bits: Per channel.
        alpha: Whether there is a transparency channel.
        orientation: EXIF tag 0x0112, 1 (upright) to 8; 1 where the tag is absent or corrupt.
    """

    format: str
    width: int
    height: int
    channels: int
    bits: int
    alpha: bool
    orientation: int


def refuse_size(header: Header) -> None:
    """Raises ImageError where the header announces a picture too large or too small to be a photograph."""
    if header.width * header.height > MAX_MEGAPIXELS * 1e6:
        raise ImageError(f"{header.width}×{header.height} px is more than {MAX_MEGAPIXELS:.0f} megapixels")
    if min(header.width, header.height) < MIN_SIDE_PX:
        raise ImageError(f"{header.width}×{header.height} px: a side under {MIN_SIDE_PX} px shows no fundus")


def several_pictures(what: str) -> ImageError:
    """The refusal of a file with more than one picture."""
    return ImageError(f"{what}: which of its pictures is meant is not known", todo="save the one meant as a file")


def truncated(kind: str) -> ImageError:
    """The refusal of a file that ends early."""
    return ImageError(f"truncated {kind} file", todo="copy the file anew from its source")
