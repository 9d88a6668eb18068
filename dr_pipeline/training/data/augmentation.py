"""Label-preserving augmentation of a fundus photograph, determined by the seed alone.

The only module that imports albumentations, whose development has ended: replacing it concerns this file only.
"""

from collections.abc import Callable

import albumentations
import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.camera_models import draw_camera
from dr_pipeline.params.training import Augmentation
from dr_pipeline.training.data.sampler import derived_seed

Pixels = NDArray[np.uint8]

# Of coarse dropout. A hole's side is a fraction of the canvas's: at most 8 %, less than the optic disc's width. Four of
# the largest cover 3.3 % of the retinal disc, on average they cover 1 %: the risk that a photograph loses its only
# lesion but keeps its grade.
HOLES = (1, 4)
HOLE_SIDE = (0.04, 0.08)


def augmenter(params: Augmentation) -> Callable[[Pixels, int], Pixels]:
    """Returns a function from (canvas (H, W, 3) RGB, seed) to an augmented canvas of the same shape.

    Rotation by any angle and mirroring are safe: the disc is round and the grade has no orientation. Scale and
    translation stay small, because the disc's radius is normalised and the size of a lesion matters; scale draws width
    and height independently, so that it stretches too. Coarse dropout (DeVries and Taylor 2017, "Cutout") blackens a
    few small squares, see `HOLE_SIDE`; the surroundings of the disc are black too. It comes last, so that neither blur
    nor JPEG affects the edges of the holes.

    The camera comes after the geometric transforms, so that a rim that it darkens or cuts off lies as in a photograph,
    and before the others.

    The surroundings of the disc stay black: contrast would lift them, blur and JPEG would spill into them, and the
    pixel path keeps them at 0 in every canvas that is scored. Each transform has a seed of its own, so that their
    draws are independent.

    Args:
        params: Strength of each transform; 0 and false disable one.
    """
    geometric, photometric, coarse_dropout = (
        albumentations.Compose(steps) for steps in (_geometric(params), _photometric(params), _coarse_dropout(params))
    )
    steps = [*geometric.transforms, *photometric.transforms, *coarse_dropout.transforms]

    def augment(canvas: Pixels, seed: int) -> Pixels:
        for number, step in enumerate(steps):
            step.set_random_seed(derived_seed(seed, number))
        pixels: Pixels = geometric(image=canvas)["image"]
        if params.camera:
            pixels = _through_a_camera(pixels, params.camera, derived_seed(seed, len(steps)))
        if photometric.transforms:
            pixels = _inside_disc(pixels, photometric(image=pixels)["image"])
        dropped: Pixels = coarse_dropout(image=pixels)["image"]
        return dropped

    return augment


def _through_a_camera(canvas: Pixels, strength: float, seed: int) -> Pixels:
    rng = np.random.default_rng(seed)
    return _inside_disc(canvas, draw_camera(rng, rng.uniform(0, strength), on_canvases=True).canvas(canvas))


def _inside_disc(before: Pixels, after: Pixels) -> Pixels:
    """`after` with black surroundings: no photometric transform may turn them grey."""
    masked: Pixels = cv2.bitwise_and(after, after, mask=cv2.bitwise_not(_surroundings(before)))
    return masked


def _surroundings(canvas: Pixels) -> Pixels:
    """Mask (H, W): 255 for black pixels connected to the border (beside the disc, or cut off by the camera), else 0.

    A black pixel inside the disc, such as in a haemorrhage, is not included.
    """
    black = cv2.copyMakeBorder(cv2.inRange(canvas, (0, 0, 0), (0, 0, 0)), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=255)
    cv2.floodFill(black, None, (0, 0), 128, flags=8)  # 8: a diagonal step connects
    connected: Pixels = cv2.inRange(black, 128, 128)[1:-1, 1:-1]
    return connected


def _geometric(params: Augmentation) -> list[albumentations.BasicTransform]:
    steps: list[albumentations.BasicTransform] = []
    if params.rotation_deg or params.scale or params.translation:
        steps.append(
            albumentations.Affine(
                rotate=(-params.rotation_deg, params.rotation_deg),
                # no keep_ratio: width and height are drawn independently, see params
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
            hole_height_range=HOLE_SIDE,
            hole_width_range=HOLE_SIDE,
            fill=0,
            p=params.coarse_dropout_probability,
        )
    ]
