"""The second output of a bundle's network: what each part of a photograph adds to the severity; needs no torch.

`explain.onnx` is appended to `model.onnx`, which is loaded again with it; scoring loads the network without it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.bundle_files import EXPLAIN, MODEL
from dr_pipeline.bundle.onnx_content import require_self_contained
from dr_pipeline.bundle.session import INPUT_NAME, LOGITS_NAME, OnnxModel
from dr_pipeline.bundle.verify import verified_content
from dr_pipeline.bundle_storage import COPY_AGAIN
from dr_pipeline.errors import BundleError
from dr_pipeline.fundus.opencv import cv2

ATTRIBUTION_NAME = "attribution"
GRID = "attribution_grid"  # an entry of the ONNX file's own metadata: step, x and y of the first cell, in input px


@dataclass(frozen=True)
class Grid:
    """Where the cells of a feature map lie on the input.

    Attributes:
        step: From one cell's centre to the next, px.
        x: Of the first cell's centre, px; (0, 0) is the outer corner of the first pixel.
        y: Likewise.
    """

    step: float
    x: float
    y: float

    def on_canvas(self, cells: NDArray[np.float32], input_px: int, canvas_px: int) -> NDArray[np.float32]:
        """A map of cells, float32 (h, w), interpolated over the canvas, (canvas_px, canvas_px)."""
        scale = input_px / canvas_px / self.step
        shift = np.array([(0.5 * input_px / canvas_px - first) / self.step for first in (self.x, self.y)])
        to_cells = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (canvas_px, canvas_px)
        return np.asarray(cv2.warpAffine(cells, to_cells, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


class AttributionModel(OnnxModel):
    """A network with its second output.

    Args:
        network: The bytes of model.onnx.
        part: The bytes of explain.onnx.
        threads: Threads inside one operator.

    Attributes:
        grid: Where the cells of the output lie on the input.

    Raises:
        BundleError: The part does not fit the network.
    """

    def __init__(self, network: bytes, part: bytes, *, threads: int) -> None:
        require_self_contained(part, where=EXPLAIN)
        super().__init__(network + part, threads=threads)
        stated = self._session.get_modelmeta().custom_metadata_map.get(GRID, "")
        names = [output.name for output in self._session.get_outputs()]
        try:
            self.grid = Grid(*map(float, stated.split()))
        except (TypeError, ValueError):
            names.clear()
        if ATTRIBUTION_NAME not in names:
            raise BundleError("states no attribution and its grid", where=EXPLAIN, todo=COPY_AGAIN)

    def attribution(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What each cell adds to the severity, the sum of the logits, each times its distance from grade 2.

        Args:
            inputs: uint8 RGB, shape (N, input_px, input_px, 3).

        Returns:
            float32, shape (N, h, w); below 0 where a cell lowers it.
        """
        _, cells = self._session.run([LOGITS_NAME, ATTRIBUTION_NAME], {INPUT_NAME: inputs})
        return np.asarray(cells[:, 0], np.float32)


def read_attribution(root: Path, *, threads: int) -> AttributionModel | None:
    """Loads the network of a bundle with its second output; None where the bundle has none.

    Raises:
        BundleError: A file is missing, unknown or altered, or the part does not fit the network.
    """
    content = verified_content(root)
    return AttributionModel(content[MODEL], content[EXPLAIN], threads=threads) if EXPLAIN in content else None
