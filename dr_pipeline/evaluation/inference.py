"""Logits of stored canvases, one photograph per call, on all cores."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.logs import progress
from dr_pipeline.machine import usable_threads
from dr_pipeline.schema import NUM_GRADES


def canvas_logits(
    model: Callable[[NDArray[np.uint8]], NDArray[Any]], store: CanvasStore, image_ids: Sequence[str], input_px: int
) -> NDArray[np.float32]:
    """Logits of photographs, float32 (N, 5), in the order of `image_ids`.

    Batch size 1, as in a clinic: results depend neither on other photographs of a batch nor on the number of cores.

    Args:
        model: Gives logits (1, 5) of inputs (1, input_px, input_px, 3); threads call it at the same time.
        store: Where the canvases lie.
        image_ids: Which.
        input_px: Side of the model's input.

    Raises:
        DataError: A canvas is missing or damaged.
    """

    def one(image_id: str) -> NDArray[Any]:
        return model(model_input(store.read(image_id), input_px)[np.newaxis])

    with ThreadPoolExecutor(max_workers=usable_threads()) as pool:
        rows = list(progress(pool.map(one, image_ids), label="grading", total=len(image_ids)))
    return np.concatenate(rows).astype(np.float32) if rows else np.zeros((0, NUM_GRADES), dtype=np.float32)
