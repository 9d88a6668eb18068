"""Files of masks: what each shows, and its pixels as bits of the kinds.

A file shows one kind (what is not black), several in declared colours, or all as bits of 16 (the phantom's). Values
between black and the kind's own are the soft edges of a resized or JPEG-compressed mask: they are refused, with their
number, unless the data set declares from which value on a pixel is shown.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.fundus.decode import decode_mask
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.kinds import KINDS, Kind, Masks, plane, with_plane

Colour = tuple[int, int, int]

# No lesion, nor the disc, covers half of a photograph; the background does.
_MOST_SHOWN = 0.5
_ALL_BITS = np.uint16(sum(1 << kind.bit for kind in KINDS))


@dataclass(frozen=True)
class MaskFile:
    """One file of masks.

    Attributes:
        path: Relative to the data set's root, with forward slashes.
        kinds: What it shows; all, as bits, where there are several without colours.
        colours: RGB of each kind; empty: see above.
        grey_threshold: From this value on a pixel is shown, 1 … 255; None: grey values are refused.
    """

    path: str
    kinds: tuple[Kind, ...]
    colours: tuple[Colour, ...] = ()
    grey_threshold: int | None = None


def read_masks(data: bytes, file: MaskFile) -> Masks:
    """The masks of one file, (height, width), upright.

    Args:
        data: The file's bytes.
        file: How it is read.

    Raises:
        ImageError: It cannot be decoded.
        DataError: It has grey values, or none that reaches the threshold; a colour that is not declared, unknown bits,
            or its background is marked.
    """
    pixels = decode_mask(data)
    if file.colours:
        masks = _by_colour(pixels, file)
    elif len(file.kinds) > 1:
        masks = _by_bits(pixels, file)
    else:
        nothing = np.zeros(pixels.shape[:2], np.uint16)
        masks = with_plane(nothing, file.kinds[0], _shown(pixels, file))
    for kind in file.kinds:
        require_background(plane(masks, kind), kind.name, where=file.path)
    return masks


def require_background(shown: NDArray[np.bool_], what: str, *, where: str) -> None:
    """Checks that what a mask shows is less than its background.

    Args:
        shown: (height, width).
        what: For the message.
        where: The file.

    Raises:
        DataError: It covers more than half of the picture.
    """
    if (share := shown.mean()) > _MOST_SHOWN:
        raise DataError(
            f"{what} in {100 * share:.0f} % of the picture: the mask seems to be inverted",
            where=where,
            todo="save masks with a black background",
        )


def join_masks(masks: Iterable[tuple[MaskFile, Masks]], height: int, width: int) -> Masks:
    """All masks of one photograph, (height, width).

    Args:
        masks: Of each file.
        height: Of the upright photograph, px.
        width: Of the upright photograph, px.

    Raises:
        DataError: A mask has other sides than the upright photograph.
    """
    joined = np.zeros((height, width), np.uint16)
    for file, shown in masks:
        if shown.shape != joined.shape:
            turned = ", as if it were stored turned" if shown.shape == (width, height) else ""
            raise DataError(
                f"a mask of {shown.shape[1]} × {shown.shape[0]} px for a photograph of {width} × {height} px{turned}",
                where=file.path,
                todo="give masks in the pixels of the upright photographs",
            )
        joined |= shown
    return joined


def overlapping_px(masks: Masks, kinds: Sequence[Kind]) -> int:
    """Number of pixels that show several of these kinds."""
    shown = np.zeros(masks.shape, np.uint8)
    for kind in kinds:
        shown += plane(masks, kind)
    return int((shown > 1).sum())


def _shown(pixels: NDArray[np.uint8] | NDArray[np.uint16], file: MaskFile) -> NDArray[np.bool_]:
    """What is not black, which must be of one colour; or what is at least as bright as the threshold."""
    brightest = _brightest(pixels)
    if file.grey_threshold is not None:
        scale = np.iinfo(pixels.dtype).max // 255
        reached = np.asarray(brightest >= file.grey_threshold * scale)
        if not reached.any() and (most := brightest.max()):  # as values 0 and 1 are: not a photograph without lesions
            raise DataError(
                f"no pixel reaches `grey_threshold`, {file.grey_threshold}; the brightest has {most / scale:g}",
                where=file.path,
                todo="save masks with 255 for what is marked, or declare a `grey_threshold` that fits all of them",
            )
        return reached
    shown = brightest > 0
    counts = np.unique(pixels[shown], axis=0, return_counts=True)[1]
    if len(counts) > 1:
        raise DataError(
            f"{counts.sum() - counts.max()} of {counts.sum()} marked pixels are grey or of other colours than the rest",
            where=file.path,
            todo="save masks of two values without compression losses or smoothing, or declare `grey_threshold`",
        )
    return np.asarray(shown)


def _by_colour(pixels: NDArray[np.uint8] | NDArray[np.uint16], file: MaskFile) -> Masks:
    if pixels.ndim == 2:
        raise DataError("a grey picture, where colours are declared", where=file.path, todo="save it as RGB")
    rows, columns = np.nonzero(_brightest(pixels))
    marked = pixels[rows, columns]
    bits = np.zeros(len(marked), np.uint16)
    for kind, colour in zip(file.kinds, file.colours, strict=True):
        bits = with_plane(bits, kind, (marked == np.array(colour, np.uint8)).all(axis=1))
    if undeclared := marked[bits == 0].tolist():
        counts = Counter(map(tuple, undeclared))
        raise DataError(
            f"{len(undeclared)} pixels have one of {len(counts)} colours that are not declared, most of them "
            "#{:02x}{:02x}{:02x}".format(*counts.most_common(1)[0][0]),
            where=file.path,
            todo="declare the colour's kind, or save the picture without compression losses and smoothing",
        )
    masks = np.zeros(pixels.shape[:2], np.uint16)
    masks[rows, columns] = bits
    return masks


def _brightest(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The brightest channel, (height, width): a fifth of the time of `pixels.max(axis=2)`."""
    if pixels.ndim == 2:
        return pixels
    red, green, blue = cv2.split(pixels)
    return cv2.max(cv2.max(red, green), blue)  # type: ignore[no-any-return]


def _by_bits(pixels: NDArray[np.uint8] | NDArray[np.uint16], file: MaskFile) -> Masks:
    if pixels.dtype != np.uint16 or (pixels & ~_ALL_BITS).any():
        raise DataError(
            "not a mask with one of 16 bits for each kind", where=file.path, todo="generate the phantom again"
        )
    return np.asarray(pixels, np.uint16)
