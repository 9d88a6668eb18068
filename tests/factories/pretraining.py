"""A small self-supervised training: parameters, photographs of four kinds, weights to continue from."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.params.pretraining import Pretraining
from dr_pipeline.params.training import Augmentation
from dr_pipeline.training.self_supervised.photographs import DATA_SET, Photographs

MODEL = "resnet10t"
PX = 32
UNCHANGED = Augmentation(
    rotation_deg=0.0, flip=False, scale=0.0, translation=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0,
    blur_probability=0.0, jpeg_probability=0.0, coarse_dropout_probability=0.0,
)  # fmt: skip
PARAMS = Pretraining(
    model=MODEL, weights="file:weights.safetensors", photographs="data/canvases", seed=7, input_px=PX, epochs=3,
    batch_photographs=8, learning_rate=0.003, weight_decay=0.0001, precision="32-true", crop_area=0.6,
    augmentation=UNCHANGED.model_copy(update={"flip": True}),
)  # fmt: skip


class Stripes:
    """Canvases that differ in colour, direction and width of their stripes; or all black."""

    pixel_path = PixelPath(PX)

    def __init__(self, *, black: bool = False) -> None:
        self._black = black

    def read(self, image_id: str) -> np.ndarray:
        if self._black:
            return np.zeros((PX, PX, 3), np.uint8)
        rng = np.random.default_rng(int(image_id))
        phase = np.mgrid[:PX, :PX][rng.integers(2)] * rng.uniform(0.3, 2)
        return (127 + 120 * np.sin(phase)[..., None] * rng.uniform(-1, 1, 3)).astype(np.uint8)


def photographs(count: int = 24, *, black: bool = False) -> Photographs:
    names = tuple(f"{DATA_SET}/{number}" for number in range(count))
    return Photographs({DATA_SET: Stripes(black=black)}, names, {})  # type: ignore[dict-item]


def random_weights(folder: Path, model: str = MODEL) -> str:
    """`weights` of an untrained network, written as a file."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        backbone = create_grader(model, input_px=PX, drop_rate=0.0, drop_path_rate=0.0).backbone
    write_tensors(backbone.state_dict(), folder / "weights.safetensors")
    return f"file:{folder / 'weights.safetensors'}"


def section(folder: Path, **changes: Any) -> Pretraining:
    """The section, with weights in `folder`."""
    return PARAMS.model_copy(update={"weights": random_weights(folder), **changes})
