"""Trains a network to find lesions of one kind, as boxes: the experiment beside outlines."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.models.detector import detector_from_params
from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.processes import keep_freed_memory
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.fabric import one_device, set_determinism
from dr_pipeline.training.lesions.lesion_data import LesionData
from dr_pipeline.training.lesions.tile_training import LesionEpoch, Losses, TrainedNetwork, train_on_tiles, training_key
from dr_pipeline.training.lesions.tiles import TileSampler


class BoxBatch(NamedTuple):
    """N tiles.

    Attributes:
        images: uint8 (N, tile, tile, 3) RGB.
        boxes: Of each tile, float32 (B, 4), x0, y0, x1, y1, px.
    """

    images: NDArray[np.uint8]
    boxes: list[NDArray[np.float32]]


class BoxSampler:
    """Draws the tiles of a sampler of one kind, with boxes for masks.

    Args:
        tiles: The sampler.
        min_box_px: See `lesion_boxes`.
    """

    def __init__(self, tiles: TileSampler, min_box_px: float) -> None:
        self._tiles, self._min_box_px = tiles, min_box_px

    def batch(self, epoch: int, number: int) -> BoxBatch:
        """The tiles of one step."""
        images, shown, _ = self._tiles.batch(epoch, number)
        return BoxBatch(images, [lesion_boxes(tile[0], self._min_box_px) for tile in shown])


def lesion_boxes(shown: NDArray[np.uint8], min_box_px: float) -> NDArray[np.float32]:
    """Boxes of the connected components of a mask, corners included, of a side of `min_box_px` at least.

    Of a lesion that the tile's border cuts it is the part that is seen; a box may reach beyond the tile.

    Args:
        shown: (H, W), 0 or 1.
        min_box_px: Smaller boxes are enlarged about their centre.

    Returns:
        x0, y0, x1, y1, px, (B, 4).
    """
    _, _, statistics, _ = cv2.connectedComponentsWithStats(shown, connectivity=8)
    left, top, width, height = statistics[1:, :4].astype(np.float32).T  # 0 is the ground
    x, y = left + width / 2, top + height / 2
    across, down = np.maximum(width, min_box_px) / 2, np.maximum(height, min_box_px) / 2
    return np.stack([x - across, y - down, x + across, y + down], axis=1)


def detector_key(params: LesionTraining, data: LesionData) -> str:
    """Hash of everything that the result depends on."""
    return training_key(params, data, module=__name__)


def train_detector(
    params: LesionTraining, data: LesionData, checkpoint: Checkpoint, *, on_epoch: Callable[[LesionEpoch], None]
) -> TrainedNetwork:
    """Trains one detector, or resumes from the checkpoint.

    Args:
        params: Network, of which `decoder_channels` are the head's, tiles and schedule; the loss is FCOS's own.
        data: Photographs in which the one kind of it was annotated.
        checkpoint: Written after each epoch.
        on_epoch: Called after each epoch.

    Raises:
        ParamsError: timm has no such network, or the weights are not there.
        DataError: A canvas cannot be read, or the weights are of another network.
        GateError: The loss is not finite; the epoch before it stays saved.
        EnvironmentProblem: The memory or the disk is full.
    """
    keep_freed_memory(all_of_it=True)
    set_determinism(params.seed)
    network, source = detector_from_params(params, weights=params.weights)
    encoder = {id(one) for one in network.encoder.parameters()}

    def losses_of(model: Any, batch: BoxBatch) -> Losses:
        loss = model(*batch)
        return Losses(loss, loss)

    return train_on_tiles(
        params,
        data,
        checkpoint,
        fabric=one_device(params.precision),
        network=network,
        source=source,
        new=[one for one in network.parameters() if id(one) not in encoder],
        batches=BoxSampler(TileSampler(data.store, data.image_ids, data.kinds, params), network.min_box_px),
        losses_of=losses_of,
        on_epoch=on_epoch,
    )
