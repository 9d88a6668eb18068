"""What a network outlines in one photograph beside the truth, kept small: histograms and areas, no maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.inferers.inferer import SlidingWindowInferer
from numpy.typing import NDArray
from torch import Tensor, nn

from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.kinds import Kind, Masks, plane
from dr_pipeline.lesions.retina import retina_mask
from dr_pipeline.metrics.segmentation import Histogram, histogram

# Probabilities among which each kind's threshold is chosen.
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
_CONNECTIVITY = 8
# A component smaller than this is noise whatever the kind; it bounds what is kept of an untrained network.
_MAX_COMPONENTS = 5000


class Places(NamedTuple):
    """Connected components, the largest first.

    Attributes:
        areas: px.
        peaks: The highest probability in each.
    """

    areas: NDArray[np.int64]
    peaks: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class KindEvidence:
    """One kind in one photograph.

    Attributes:
        pixels: By probability, without and with the kind.
        true_areas: Of the truth's components, px.
        found: The network's components at each of `THRESHOLDS`.
    """

    pixels: Histogram
    true_areas: NDArray[np.int64]
    found: tuple[Places, ...]


@dataclass(frozen=True, eq=False)
class LesionEvidence:
    """One photograph.

    Attributes:
        image_id: Its name.
        group: The eye or patient.
        fold: Whose network did not see it.
        kinds: Of the kinds that were annotated, by name.
    """

    image_id: str
    group: str
    fold: int
    kinds: Mapping[str, KindEvidence]


def segment(network: nn.Module, pixels: NDArray[np.uint8], *, tile_px: int, overlap: float) -> NDArray[np.float32]:
    """Runs a network over a canvas in overlapping tiles, which are blended by a Gaussian weight (MONAI).

    Args:
        network: uint8 (N, tile, tile, 3) → logits (N, K, tile, tile), in evaluation mode.
        pixels: (S, S, 3) RGB.
        tile_px: Side of a tile.
        overlap: Of neighbouring tiles, as a fraction.

    Returns:
        Probabilities (K, S, S); 0 where there is no retina.
    """
    device = next(network.parameters()).device

    def probabilities(tiles: Tensor, *_: Any) -> Tensor:
        return torch.sigmoid(network(tiles.permute(0, 2, 3, 1).to(torch.uint8)).float())

    inferer = SlidingWindowInferer((tile_px, tile_px), sw_batch_size=1, overlap=overlap, mode="gaussian")
    with torch.inference_mode():
        canvas = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().to(device)
        result: Any = inferer(canvas, probabilities)
    maps: NDArray[np.float32] = result[0].clamp(0, 1).cpu().numpy()
    return maps * retina_mask(pixels)


def photograph_evidence(
    probabilities: NDArray[np.float32], masks: Masks, kinds: Sequence[Kind], labelled: frozenset[str]
) -> dict[str, KindEvidence]:
    """Compares maps with the truth, for the kinds that were annotated.

    Args:
        probabilities: (K, S, S), in the order of `kinds`.
        masks: (S, S).
        kinds: Outputs of the network.
        labelled: Names of the kinds that were annotated.
    """
    evidence = {}
    for kind, found in zip(kinds, probabilities, strict=True):
        if kind.name in labelled:
            shown = plane(masks, kind)
            places = tuple(find_places(found, threshold) for threshold in THRESHOLDS)
            true = find_places(shown.astype(np.float32), 1.0)
            evidence[kind.name] = KindEvidence(histogram(found, shown), true.areas, places)
    return evidence


def find_places(probability: NDArray[np.float32], threshold: float) -> Places:
    """The connected components, corners included, of a map (S, S) at a threshold; the largest 5,000 alone."""
    shown = probability >= threshold
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(shown.astype(np.uint8), connectivity=_CONNECTIVITY)
    areas, peaks = np.asarray(statistics[:, cv2.CC_STAT_AREA], np.int64), np.zeros(len(statistics), np.float32)
    np.maximum.at(peaks, labels[shown], probability[shown])
    order = 1 + np.argsort(-areas[1:], kind="stable")[:_MAX_COMPONENTS]  # 0 is the ground
    return Places(areas[order], peaks[order])
