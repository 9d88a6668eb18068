"""Small data sets with masks of lesions, drawn by code, in several layouts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.factories.drawings import draw_fundus, encode, jpeg, with_tissue

WIDTH, HEIGHT = 300, 240


def photograph(seed: int) -> np.ndarray:
    """A fundus that is gradable."""
    return with_tissue(draw_fundus(WIDTH, HEIGHT, 150, 120, 105, seed=seed), seed)


def dot(x: int, y: int, radius: int = 4) -> np.ndarray:
    """A mask of 0 and 255 with one disc."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.where(np.hypot(columns - x, rows - y) <= radius, 255, 0).astype(np.uint8)


def write_photographs(folder: Path, names: Sequence[str]) -> None:
    """A JPEG per name, each of another eye."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        (folder / f"{name}.jpg").write_bytes(jpeg(photograph(seed)))


def write_masks(folder: Path, masks: Mapping[str, np.ndarray]) -> None:
    """A picture per file name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        (folder / name).write_bytes(encode(mask, Path(name).suffix))


def write_idrid_segmentation(root: Path, names: Sequence[str]) -> None:
    """IDRiD's part A: microaneurysms and a disc in all, hard exudates in every second photograph."""
    part = root / "A. Segmentation"
    masks = part / "2. All Segmentation Groundtruths" / "a. Training Set"
    write_photographs(part / "1. Original Images" / "a. Training Set", names)
    write_masks(masks / "1. Microaneurysms", {f"{name}_MA.tif": dot(120, 90 + n) for n, name in enumerate(names)})
    write_masks(masks / "3. Hard Exudates", {f"{name}_EX.tif": dot(170, 150) for name in names[::2]})
    write_masks(masks / "5. Optic Disc", {f"{name}_OD.tif": dot(200, 115, 12) for name in names})
