"""Local features of a canvas: the vessels' crossings and bends, which tell one retina from another.

SIFT (Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004) on the locally normalised green
channel, described as RootSIFT (Arandjelović and Zisserman, CVPR 2012). Numbers are integers, so that sums of their
products are exact in 32-bit floats: distances depend neither on the number of threads nor on the order of sums.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.perceptual_hash import local_contrast

# At 192 px the features are vessels. Of planted retakes of two narrow fields, 5 % have fewer than 6 true matches, as at
# 256 px, in 60 % of the time.
SIDE_PX = 192
MAX_FEATURES = 400
# Of the local mean and contrast.
_WINDOW_PX = 12.0
# The noise of a dark or hazy photograph would otherwise be its strongest features.
_NOISE_PX = 0.75
# Grey levels of one standard deviation of the local contrast. Beyond 1.6 deviations it is cut off, so that dust and
# reflexes are not the strongest features.
_GREY_LEVELS = 80
_CONTRAST_THRESHOLD = 0.01
# Features stay away from the rim and from the line where the frame cuts the field: both are the camera's.
_CORE = 0.92
_RIM = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
_NORM = 512


@dataclass(frozen=True, eq=False)
class RetinalFeatures:
    """The features of one photograph, at most `MAX_FEATURES`.

    Attributes:
        points: (N, 2) x and y, px of a canvas of `SIDE_PX`; the strongest first.
        descriptors: (N, 128) RootSIFT; their Euclidean norm is about 512.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]


def retinal_features(canvas: NDArray[np.uint8]) -> RetinalFeatures:
    """Finds the features; none where nothing is visible.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB; an enhancement may have been applied.
    """
    contrast = local_contrast(canvas, SIDE_PX, _WINDOW_PX)
    smooth = cv2.GaussianBlur(contrast, (0, 0), _NOISE_PX)
    grey = np.clip(np.rint(128 + _GREY_LEVELS * smooth), 0, 255).astype(np.uint8)
    visible = cv2.erode((contrast != 0).astype(np.uint8), _RIM, borderValue=0)
    mask = cv2.bitwise_and(disc_mask(SIDE_PX, _CORE), disc_mask(SIDE_PX, _CORE), mask=visible)
    sift = cv2.SIFT.create(nfeatures=MAX_FEATURES, contrastThreshold=_CONTRAST_THRESHOLD)
    keypoints, descriptors = sift.detectAndCompute(grey, mask)
    if not keypoints:
        return RetinalFeatures(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8))
    # SIFT returns a few more than asked for where several are equally strong.
    strength = np.array([keypoint.response for keypoint in keypoints])
    order = np.argsort(-strength, kind="stable")[:MAX_FEATURES]
    points = np.array([keypoint.pt for keypoint in keypoints], np.float32)
    return RetinalFeatures(points[order], _root(descriptors[order]))


def squared_distances(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, M) squared Euclidean distances of (N, D) and (M, D) descriptors: integers below 2²⁴, exact."""
    a, b = one.astype(np.float32), other.astype(np.float32)
    distances: NDArray[np.float32] = a @ b.T
    distances *= -2
    distances += np.square(a).sum(axis=1)[:, None]
    distances += np.square(b).sum(axis=1)
    return distances


def _root(descriptors: NDArray[np.float32]) -> NDArray[np.uint8]:
    total = np.maximum(descriptors.sum(axis=1, keepdims=True), 1)
    root = np.sqrt(descriptors.astype(np.float64) / total)
    rounded: NDArray[np.uint8] = np.minimum(np.rint(_NORM * root), 255).astype(np.uint8)
    return rounded
