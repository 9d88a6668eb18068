"""Renders one photograph with its masks: both on one canvas, and what is counted of the masks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, NoReturn

import numpy as np

from dr_pipeline.canvases.render import encode_png
from dr_pipeline.errors import DataError
from dr_pipeline.fundus.canvas import Window
from dr_pipeline.fundus.decode import read_header, read_image_file
from dr_pipeline.fundus.formats.exif import UPRIGHT
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import RESTORE, PixelPath
from dr_pipeline.lesions.kinds import Kind, Masks, plane
from dr_pipeline.lesions.mask_files import MaskFile, join_masks, overlapping_px, read_masks
from dr_pipeline.lesions.on_canvas import masks_to_canvas, num_components


@dataclass(frozen=True, slots=True)
class MaskedSource:
    """One photograph with masks, to render.

    Attributes:
        image_id: Its id.
        root: The folder that all paths are relative to.
        path: The photograph.
        masks: Its masks.
        kinds: The annotated kinds to keep.
    """

    image_id: str
    root: Path
    path: str
    masks: tuple[MaskFile, ...]
    kinds: tuple[Kind, ...]


@dataclass(frozen=True)
class RenderedMasks:
    """The result for one photograph.

    Attributes:
        fault: Why its masks cannot be used; empty if they can, and then all below is filled in.
        canvas: PNG.
        masks: PNG of 16 bits.
        pixel_hash: Of the photograph.
        width: Of the upright original, px.
        height: Of the upright original, px.
        window: What the canvas shows of it.
        pixels: Of the canvas by kind.
        components: Separate places by kind, in the original and on the canvas.
        overlapping_px: Pixels of the canvas that show several kinds of lesions.
        turned: Whether the photograph is stored turned or mirrored.
    """

    fault: str = ""
    todo: str = ""
    canvas: bytes = b""
    masks: bytes = b""
    pixel_hash: str = ""
    width: int = 0
    height: int = 0
    window: Window = Window(0, 0, 0, 0)  # noqa: RUF009 - frozen
    pixels: Mapping[str, int] = field(default_factory=dict)
    components: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    overlapping_px: int = 0
    turned: bool = False


def render_masked(source: MaskedSource, pixel_path: PixelPath) -> RenderedMasks:
    """Renders one photograph with its masks; unusable masks give the reason."""
    try:
        return _rendered(source, pixel_path)
    except DataError as error:
        place = f" ({error.where})" if error.where else ""
        return RenderedMasks(fault=f"{source.image_id}: {error.what}{place}", todo=error.todo)


def _rendered(source: MaskedSource, pixel_path: PixelPath) -> RenderedMasks:
    data = read_image_file(source.root / source.path)
    photograph = pixel_path.process(data, find_text=False)
    files = ((file, _read(source.root, file)) for file in source.masks)
    masks = _only(join_masks(files, photograph.height, photograph.width), source.kinds)
    on_canvas = masks_to_canvas(
        masks, photograph.disc, pixel_path.canvas_px, restore_aspect=pixel_path.aspect == RESTORE
    )
    kinds = source.kinds
    return RenderedMasks(
        canvas=encode_png(photograph.canvas),
        masks=_encode_masks(on_canvas),
        pixel_hash=photograph.pixel_hash,
        width=photograph.width,
        height=photograph.height,
        window=photograph.window,
        pixels={kind.name: int(plane(on_canvas, kind).sum()) for kind in kinds},
        components={kind.name: (num_components(masks, kind), num_components(on_canvas, kind)) for kind in kinds},
        overlapping_px=overlapping_px(on_canvas, [kind for kind in kinds if kind.is_lesion]),
        turned=read_header(data).orientation != UPRIGHT,
    )


def _read(root: Path, file: MaskFile) -> Masks:
    try:
        return read_masks(read_image_file(root / file.path), file)
    except DataError as error:
        raise DataError(error.what, where=file.path, todo=error.todo) from None


def _only(masks: Masks, kinds: tuple[Kind, ...]) -> Masks:
    return masks & np.uint16(sum(1 << kind.bit for kind in kinds))


def _encode_masks(masks: Masks) -> bytes:
    _, png = cv2.imencode(".png", masks)
    return bytes(png)


@dataclass(frozen=True)
class MaskedTask:
    """The work of an engine that renders photographs with masks.

    Attributes:
        pixel_path: Applied to each photograph.
        places: The data sets' folders.
    """

    pixel_path: PixelPath
    places: tuple[Path, ...]
    modules: ClassVar[tuple[str, ...]] = ("dr_pipeline.canvases.lesion_render", "dr_pipeline.engines.local")

    def setup(self) -> Callable[[MaskedSource], RenderedMasks]:
        """The work on one photograph."""
        return partial(render_masked, pixel_path=self.pixel_path)

    def failed(self, source: MaskedSource, reason: str) -> NoReturn:
        """Stops the run.

        Raises:
            DataError: Always.
        """
        raise DataError(
            f"a photograph with masks could not be rendered: {reason}",
            where=str(source.root / source.path),
            todo="see whether the machine is out of memory; else remove this file from the data set",
        )
