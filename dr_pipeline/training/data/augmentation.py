"""Label-preserving changes to a fundus photograph, the same for the same seed whatever the worker."""

from collections.abc import Callable

import albumentations
import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.params.training import Augmentation
from dr_pipeline.training.seeds import derived_seed

Pixels = NDArray[np.uint8]

# Of coarse dropout. A hole's side is a share of the canvas's: at most 8 %, less than the optic disc's width. Four of
# the largest cover 3.3 % of the retinal disc, on average they cover 1 %: so often does a photograph lose its only
# lesion and keep its grade.
HOLES = (1, 4)
HOLE_SHARE = (0.04, 0.08)


def augmenter(params: Augmentation) -> Callable[[Pixels, int], Pixels]:
    """Makes a function from (canvas (H, W, 3) RGB, seed) to a changed canvas of the same shape.

    Rotation by any angle and mirroring are safe: the disc is round and the grade has no orientation. Scale and
    translation stay small, because the disc's radius is normalised and lesions count by their size; scale draws width
    and height apart, so that it stretches too. Coarse dropout (DeVries and Taylor 2017, "Cutout") blackens a few small
    squares, see `HOLE_SHARE`; black is also what lies beside the disc. It comes last, so that neither blur nor JPEG
    marks the holes' rims.

    Beside the disc all stays black: contrast would lift it, blur and JPEG would spill into it, and the pixel path keeps
    it at 0 in every canvas that is scored. Each change draws from a seed of its own, so that none goes with another.

    Args:
        params: How strong each change is; 0 and false switch one off.
    """
    geometric, photometric, coarse_dropout = (
        albumentations.Compose(steps) for steps in (_geometric(params), _photometric(params), _coarse_dropout(params))
    )
    steps = [*geometric.transforms, *photometric.transforms, *coarse_dropout.transforms]

    def augment(canvas: Pixels, seed: int) -> Pixels:
        for number, step in enumerate(steps):
            step.set_random_seed(derived_seed(seed, number))
        moved: Pixels = geometric(image=canvas)["image"]
        recoloured = _inside_the_disc(moved, photometric(image=moved)["image"]) if photometric.transforms else moved
        pierced: Pixels = coarse_dropout(image=recoloured)["image"]
        return pierced

    return augment


def _inside_the_disc(before: Pixels, after: Pixels) -> Pixels:
    """`after`, black where `before` is of the surroundings: no change of colour may make the black beside it grey."""
    kept: Pixels = cv2.bitwise_and(after, after, mask=cv2.bitwise_not(_surroundings(before)))
    return kept


def _surroundings(canvas: Pixels) -> Pixels:
    """255 where black reaches to the border, (H, W): beside the disc, or where the camera's frame cuts it off; else 0.

    A black pixel inside the disc, of a haemorrhage or a dim rim, is not of them.
    """
    black = cv2.copyMakeBorder(cv2.inRange(canvas, (0, 0, 0), (0, 0, 0)), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=255)
    cv2.floodFill(black, None, (0, 0), 128, flags=8)  # 8: a diagonal step connects
    found: Pixels = cv2.inRange(black, 128, 128)[1:-1, 1:-1]
    return found


def _geometric(params: Augmentation) -> list[albumentations.BasicTransform]:
    steps: list[albumentations.BasicTransform] = []
    if params.rotation_deg or params.scale or params.translation:
        steps.append(
            albumentations.Affine(
                rotate=(-params.rotation_deg, params.rotation_deg),
                # keep_ratio is left out: width and height are meant to be drawn apart, see params
                scale=(1 - params.scale, 1 + params.scale),
                translate_percent=(-params.translation, params.translation),
                interpolation=cv2.INTER_LINEAR,
                fill=0,
                p=1.0,
            )
        )
    if params.flip:
        steps.append(albumentations.HorizontalFlip(p=0.5))
    return steps


def _photometric(params: Augmentation) -> list[albumentations.BasicTransform]:
    steps: list[albumentations.BasicTransform] = []
    if params.brightness or params.contrast or params.saturation or params.hue:
        steps.append(
            albumentations.ColorJitter(
                brightness=(1 - params.brightness, 1 + params.brightness),
                contrast=(1 - params.contrast, 1 + params.contrast),
                saturation=(1 - params.saturation, 1 + params.saturation),
                hue=(-params.hue, params.hue),
                p=1.0,
            )
        )
    if params.blur_probability:
        steps.append(albumentations.GaussianBlur(sigma_limit=(0.3, 1.2), p=params.blur_probability))
    if params.jpeg_probability:
        steps.append(albumentations.ImageCompression(quality_range=(60, 95), p=params.jpeg_probability))
    return steps


def _coarse_dropout(params: Augmentation) -> list[albumentations.BasicTransform]:
    if not params.coarse_dropout_probability:
        return []
    return [
        albumentations.CoarseDropout(
            num_holes_range=HOLES,
            hole_height_range=HOLE_SHARE,
            hole_width_range=HOLE_SHARE,
            fill=0,
            p=params.coarse_dropout_probability,
        )
    ]
