"""The detector: torchvision's FCOS on a timm encoder's pyramid, for lesions of few pixels.

Tian et al., "FCOS: fully convolutional one-stage object detection", ICCV 2019. An experiment beside the segmenter, on
which of the two finds more microaneurysms: these are points, whose outline nobody needs.
"""

from collections import OrderedDict
from functools import partial
from itertools import product
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOS, FCOSClassificationHead, FCOSHead, FCOSRegressionHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork, nms

from dr_pipeline.lesions.retina import retina_mask
from dr_pipeline.models.pyramid import PyramidEncoder, create_pyramid
from dr_pipeline.params.lesion_training import LesionTraining

# The head sees the two finest maps, of strides 2 and 4 for most encoders: IDRiD's microaneurysms on a canvas of 1,536
# px are 5 to 14 px wide, half of them 8 px or less: at stride 8 some would lie between two places.
_LEVELS = 2
# Smaller boxes are enlarged to this, in strides of the finest map, about their centre: places learn a box from inside
# it, which then are two or three in a row.
_MIN_BOX_STRIDES = 3
_HEAD_CONVOLUTIONS = 2
_GROUPS = 8  # of the head's normalisation; torchvision's 32 are for 256 channels
_MIN_SCORE = 0.05
_MAX_DETECTIONS = 300  # of a tile
_MAX_OVERLAP = 0.3  # intersection over union above which the weaker of two boxes is left out
_TILES = 4  # at once at inference


class Detections(NamedTuple):
    """What was found on a canvas.

    Attributes:
        centres: x and y, px, (N, 2); (0, 0) is the outer corner of the first pixel.
        scores: 0 … 1, (N,).
    """

    centres: NDArray[np.float64]
    scores: NDArray[np.float64]


class _Pyramid(nn.Module):
    """Tiles → the finest maps, of one width, which coarser ones have added their context to."""

    def __init__(self, encoder: nn.Module, widths: list[int], channels: int) -> None:
        super().__init__()
        self.encoder, self.out_channels = encoder, channels
        self.fpn = FeaturePyramidNetwork(widths, channels)

    def forward(self, pixels: Tensor) -> "OrderedDict[str, Tensor]":
        encoder = cast("Any", self.encoder)  # timm's own method
        maps = encoder.forward_intermediates(pixels, intermediates_only=True)
        finest = list(self.fpn(OrderedDict((str(level), found) for level, found in enumerate(maps))).values())[:_LEVELS]
        return OrderedDict((str(level), found) for level, found in enumerate(finest))


class _Normalise(GeneralizedRCNNTransform):  # type: ignore[misc]
    """torchvision's preparation without the change of size, which `_skip_resize` only leaves out while it trains."""

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target


class Detector(nn.Module):
    """A network from stored pixels, uint8 RGB, to boxes of one kind of lesion.

    Attributes:
        min_box_px: Least side of a box that it learns.
        network: torchvision's FCOS.
    """

    def __init__(self, pyramid: PyramidEncoder, *, channels: int) -> None:
        """Builds pyramid and head.

        Args:
            pyramid: The encoder.
            channels: Of the maps and the head, a multiple of 8.
        """
        super().__init__()
        strides = [stride for _, stride in pyramid.maps[:_LEVELS]]
        norm = partial(nn.GroupNorm, _GROUPS)
        head = FCOSHead(channels, 1, 1, 0)  # its branches with our normalisation instead:
        head.classification_head = FCOSClassificationHead(channels, 1, 1, _HEAD_CONVOLUTIONS, norm_layer=norm)
        head.regression_head = FCOSRegressionHead(channels, 1, _HEAD_CONVOLUTIONS, norm_layer=norm)
        self.min_box_px = _MIN_BOX_STRIDES * strides[0]
        self.network = FCOS(
            _Pyramid(pyramid.encoder, [width for width, _ in pyramid.maps], channels),
            num_classes=1,
            anchor_generator=AnchorGenerator(tuple((stride,) for stride in strides), ((1.0,),) * _LEVELS),
            head=head,
            score_thresh=_MIN_SCORE,
            nms_thresh=_MAX_OVERLAP,
            detections_per_img=_MAX_DETECTIONS,
        )
        self.network.transform = _Normalise(1, 1, list(pyramid.norm.mean), list(pyramid.norm.std))

    @property
    def encoder(self) -> nn.Module:
        """The timm network without its classifier."""
        return cast("_Pyramid", self.network.backbone).encoder

    def forward(self, images: Tensor, boxes: list[Tensor] | None = None) -> Any:
        """Losses when it trains, else detections.

        Args:
            images: uint8 (N, H, W, 3) RGB.
            boxes: When it trains: of each picture, float (B, 4), x0, y0, x1, y1, px; none: (0, 4).

        Returns:
            The sum of FCOS's three losses, a scalar; else of each picture a dictionary with `boxes` and `scores`.
        """
        pictures = list(images.permute(0, 3, 1, 2).float().div(255))
        if not self.training:
            return self.network(pictures)
        targets = [
            {"boxes": one, "labels": torch.zeros(len(one), dtype=torch.int64, device=one.device)} for one in boxes or []
        ]
        return torch.stack(list(self.network(pictures, targets).values())).sum()


def detector_from_params(params: LesionTraining, *, weights: str = "none") -> tuple[Detector, str]:
    """The detector with the encoder of a section of params.yaml, and one line on the source of its weights.

    Raises:
        ParamsError: timm has no such network, it has no pyramid, or the weights are not there.
        DataError: The weights are of another network.
    """
    pyramid = create_pyramid(params.model, tile_px=params.tile_px, weights=weights)
    return Detector(pyramid, channels=params.decoder_channels), pyramid.source


@torch.inference_mode()
def detect(network: Detector, pixels: NDArray[np.uint8], *, tile_px: int, overlap: float) -> Detections:
    """Runs a detector over a canvas in overlapping tiles; of boxes that overlap the surest stays.

    Of a tile those boxes are taken whose centre is nearer to its middle than half the overlap leaves: in the border a
    lesion may be cut, and the neighbour shows it whole.

    Args:
        network: In evaluation mode.
        pixels: (S, S, 3) RGB.
        tile_px: Side of a tile.
        overlap: Of neighbouring tiles, as a fraction, at least.

    Returns:
        What was found on the retina, the surest first.
    """
    device = next(network.parameters()).device
    side = len(pixels)
    starts = _starts(side, tile_px, overlap)
    places = list(product(starts, starts))
    boxes, scores = [torch.zeros(0, 4)], [torch.zeros(0)]
    for first in range(0, len(places), _TILES):
        part = places[first : first + _TILES]
        tiles = np.stack([pixels[top : top + tile_px, left : left + tile_px] for top, left in part])
        for (top, left), found in zip(part, network(torch.from_numpy(tiles).to(device)), strict=True):
            moved = found["boxes"].float().cpu() + torch.tensor([left, top, left, top])
            x, y = (moved[:, :2] + moved[:, 2:]).div(2).unbind(1)
            own = _own(x, left, starts, tile_px) & _own(y, top, starts, tile_px)
            boxes.append(moved[own])
            scores.append(found["scores"].float().cpu()[own])
    every, score = torch.cat(boxes), torch.cat(scores)
    kept = nms(every, score, _MAX_OVERLAP)
    centres = ((every[kept, :2] + every[kept, 2:]) / 2).double().numpy()
    column, row = centres.astype(np.int64).clip(0, side - 1).T
    inside = retina_mask(pixels)[row, column]
    return Detections(centres[inside], score[kept].double().numpy()[inside])


def _starts(side: int, tile_px: int, overlap: float) -> list[int]:
    """First pixels of the tiles of a row, evenly spread."""
    number = 1 + int(np.ceil(max(0, side - tile_px) / (tile_px * (1 - overlap))))
    return [int(start) for start in np.linspace(0, max(0, side - tile_px), number).round()]


def _own(centre: Tensor, start: int, starts: list[int], tile_px: int) -> Tensor:
    """Which centres lie in a tile's own part of a row: up to the middle of the overlap with either neighbour."""
    number = starts.index(start)
    low = (start + starts[number - 1] + tile_px) / 2 if number else -np.inf
    high = (starts[number + 1] + start + tile_px) / 2 if number + 1 < len(starts) else np.inf
    return (centre >= low) & (centre < high)
