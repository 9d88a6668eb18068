"""Small stores of drawn canvases with exact masks: bright dots are exudates, dark ones hemorrhages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.canvases.lesion_store import LesionStore, canvas_name, masks_name
from dr_pipeline.canvases.store import INDEX, PIXEL_PATH
from dr_pipeline.files import write_json
from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.lesions.kinds import HARD_EXUDATES, HEMORRHAGES, Kind, with_plane
from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.params.section import validate
from dr_pipeline.tables.lesion_index import LesionRow, write_lesion_index

CANVAS_PX = 128
KINDS = (HEMORRHAGES, HARD_EXUDATES)
_COLOURS = {HARD_EXUDATES: (250, 240, 120), HEMORRHAGES: (60, 10, 10)}
_GROUND = (150, 80, 40)
_UM_PER_PX = 100.0


def draw(seed: int, *, dots: int, kinds: tuple[Kind, ...] = KINDS) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """A canvas with `dots` apart of each kind, and its masks."""
    rng = np.random.default_rng(seed)
    canvas = np.empty((CANVAS_PX, CANVAS_PX, 3), np.uint8)
    canvas[:] = np.clip(np.array(_GROUND) + rng.normal(0, 3, canvas.shape), 0, 255)
    masks = np.zeros((CANVAS_PX, CANVAS_PX), np.uint16)
    places = rng.permutation([(row, column) for row in range(40, 96, 14) for column in range(40, 96, 14)])
    for number, kind in enumerate(kinds):
        shown = np.zeros(masks.shape, np.uint8)
        for row, column in places[number * dots : (number + 1) * dots].tolist():
            cv2.circle(shown, (column, row), 4, 1, cv2.FILLED)
        canvas[shown > 0] = _COLOURS[kind]
        masks = with_plane(masks, kind, shown > 0)
    return canvas * (disc_mask(CANVAS_PX) > 0)[..., None], masks


def write_store(
    folder: Path, *, photographs: int = 6, folds: int = 2, labelled: Mapping[int, tuple[Kind, ...]] | None = None
) -> LesionStore:
    """A store: photograph k is in fold k modulo `folds`; the first shows nothing, the others one to three dots a kind.

    Args:
        folder: To write.
        photographs: How many.
        folds: How many.
        labelled: The kinds that were annotated in a photograph, by its number; both where it is not named.
    """
    path = PixelPath(CANVAS_PX)
    write_json(folder / PIXEL_PATH, path.to_dict() | {"fingerprint": path.fingerprint})
    rows = []
    for number in range(photographs):
        image_id = f"p{number}"
        canvas, masks = draw(number, dots=min(number, 3))
        (folder / canvas_name(image_id)).write_bytes(cv2.imencode(".png", canvas[..., ::-1])[1].tobytes())
        (folder / masks_name(image_id)).write_bytes(cv2.imencode(".png", masks)[1].tobytes())
        kinds = (labelled or {}).get(number, KINDS)
        pixels = {kind.name: int((masks >> kind.bit & 1).sum()) for kind in kinds}
        rows.append(
            LesionRow(
                image_id=image_id,
                group=image_id,
                fold=number % folds,
                labelled=" ".join(pixels),
                pixels=" ".join(f"{name}={count}" for name, count in pixels.items()),
                pixel_hash=image_id,
                um_per_px=_UM_PER_PX,
                width=CANVAS_PX,
                height=CANVAS_PX,
                window_left=0.0,
                window_top=0.0,
                window_width=float(CANVAS_PX),
                window_height=float(CANVAS_PX),
            )
        )
    write_lesion_index(folder / INDEX, rows)
    return LesionStore(folder)


def training(**changes: Any) -> LesionTraining:
    """A section that trains in a second, from no weights."""
    augmentation = {
        "rotation_deg": 180.0,
        "flip": True,
        "scale": 0.1,
        "translation": 0.0,
        "brightness": 0.1,
        "contrast": 0.1,
        "saturation": 0.0,
        "hue": 0.0,
        "blur_probability": 0.0,
        "jpeg_probability": 0.0,
        "coarse_dropout_probability": 0.0,
    }
    values = {
        "model": "resnet10t",
        "weights": "none",
        "decoder_channels": 16,
        "seed": 3,
        "epochs": 2,
        "tiles_per_photograph": 2,
        "tile_px": 64,
        "batch_tiles": 4,
        "lesion_tiles": 0.8,
        "learning_rate": 0.003,
        "encoder_rate": 1.0,
        "weight_decay": 0.01,
        "warmup_share": 0.05,
        "clip_norm": 5.0,
        "ema_decay": 0.9,
        "false_positives": 0.5,
        "focal_gamma": 2.0,
        "focal_weight": 1.0,
        "precision": "32-true",
        "overlap": 0.25,
        "augmentation": augmentation,
    }
    return validate(values | changes, LesionTraining, where="test")
