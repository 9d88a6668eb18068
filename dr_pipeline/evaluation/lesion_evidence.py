"""What a network outlines in one photograph beside the truth, kept small: histograms and areas, no maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.inferers.inferer import SlidingWindowInferer
from numpy.typing import NDArray
from torch import Tensor, nn

from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.kinds import Kind, Masks, plane
from dr_pipeline.metrics.segmentation import Histogram, histogram

# Probabilities among which each kind's threshold is chosen.
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
_CONNECTIVITY = 8
# A component smaller than this is noise whatever the kind; it bounds what is kept of an untrained network.
_MAX_COMPONENTS = 5000


@dataclass(frozen=True, eq=False)
class KindEvidence:
    """One kind in one photograph.

    Attributes:
        pixels: By probability, without and with the kind.
        true_areas: Of the truth's components, px.
        found_areas: Of the network's components at each of `THRESHOLDS`, px.
    """

    pixels: Histogram
    true_areas: NDArray[np.int64]
    found_areas: tuple[NDArray[np.int64], ...]


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
        Probabilities (K, S, S); 0 outside the retinal disc.
    """
    device = next(network.parameters()).device

    def probabilities(tiles: Tensor, *_: Any) -> Tensor:
        return torch.sigmoid(network(tiles.permute(0, 2, 3, 1).to(torch.uint8)).float())

    inferer = SlidingWindowInferer((tile_px, tile_px), sw_batch_size=1, overlap=overlap, mode="gaussian")
    with torch.inference_mode():
        canvas = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().to(device)
        result: Any = inferer(canvas, probabilities)
    maps: NDArray[np.float32] = result[0].clamp(0, 1).cpu().numpy()
    return maps * (disc_mask(len(pixels)) > 0)


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
            areas = tuple(component_areas(found >= threshold) for threshold in THRESHOLDS)
            evidence[kind.name] = KindEvidence(histogram(found, shown), component_areas(shown), areas)
    return evidence


def component_areas(shown: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Areas in px of the connected components, corners included, the largest first; the largest 5,000 alone."""
    if not shown.any():
        return np.zeros(0, np.int64)
    _, _, statistics, _ = cv2.connectedComponentsWithStats(shown.astype(np.uint8), connectivity=_CONNECTIVITY)
    areas = np.asarray(statistics[1:, cv2.CC_STAT_AREA], np.int64)  # 0 is the ground
    return np.sort(areas)[::-1][:_MAX_COMPONENTS]
