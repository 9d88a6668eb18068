"""Small photographs with captions as one JPEG; for synthetic photographs only, since a report is passed on."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError

_CAPTION_PX = 22
_GAP_PX = 6
_JPEG_QUALITY = 82


def contact_sheet(
    canvases: Sequence[NDArray[np.uint8]], captions: Sequence[str], *, columns: int, side_px: int
) -> bytes:
    """Puts canvases onto a sheet, row by row.

    Args:
        canvases: RGB, shape (s, s, 3) each; at least one.
        captions: ASCII, one per canvas, at most about 25 letters at 160 px.
        columns: Photographs per row.
        side_px: Side of one photograph on the sheet.

    Raises:
        DataError: The sheet cannot be encoded.
    """
    rows = -(-len(canvases) // columns)
    columns = min(columns, len(canvases))
    cell_width, cell_height = side_px + _GAP_PX, side_px + _CAPTION_PX + _GAP_PX
    sheet = np.full((rows * cell_height + _GAP_PX, columns * cell_width + _GAP_PX, 3), 255, dtype=np.uint8)
    for index, (canvas, caption) in enumerate(zip(canvases, captions, strict=True)):
        x = _GAP_PX + index % columns * cell_width
        y = _GAP_PX + index // columns * cell_height
        sheet[y : y + side_px, x : x + side_px] = cv2.resize(canvas, (side_px, side_px), interpolation=cv2.INTER_AREA)
        where = (x, y + side_px + _CAPTION_PX - 7)
        cv2.putText(sheet, caption, where, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (40, 40, 40), 1, cv2.LINE_AA)
    done, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    if not done:
        raise DataError("the contact sheet cannot be encoded as JPEG", where="report")
    return encoded.tobytes()
