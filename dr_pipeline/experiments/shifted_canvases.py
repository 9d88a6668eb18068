"""Canvases as other cameras would have given them, to predict an experiment's outer folds through."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.camera_models import CANVAS_MODELS, Camera, draw_camera
from dr_pipeline.training.data.canvas_dataset import Canvases

MIXED = "mixed"
FAMILIES = (*CANVAS_MODELS, MIXED)


@dataclass(frozen=True)
class ShiftedCanvases:
    """The canvases of a store through one camera.

    The pixel path would see the camera's photograph; here it is approximated on the canvas, without the quality gate.

    Attributes:
        store: The canvases as they are.
        family: Of `FAMILIES`; "mixed" draws three models for each photograph, which depend on its id alone.
        strength: Of the models, 0 … 1.
    """

    store: Canvases
    family: str
    strength: float

    def read(self, image_id: str) -> NDArray[np.uint8]:
        """One canvas, of the shape that the store's have."""
        return self._camera(image_id).canvas(self.store.read(image_id))

    def _camera(self, image_id: str) -> Camera:
        if self.family != MIXED:
            return Camera(frozenset({self.family}), self.strength)
        digest = hashlib.sha256(image_id.encode()).digest()
        return draw_camera(np.random.default_rng(list(digest)), self.strength, on_canvases=True)
