"""A timm encoder with a pyramid of feature maps, each half as large as the one before."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import nn

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.grader import Normalisation, create_grader, normalisation
from dr_pipeline.models.weights.initialise import initialise_weights


@dataclass(frozen=True, eq=False)
class PyramidEncoder:
    """An encoder without its classifier.

    Attributes:
        encoder: The timm network.
        maps: Channels and stride of each feature map, fine to coarse.
        norm: Of its input.
        source: One line on the source of its weights.
    """

    encoder: nn.Module
    maps: tuple[tuple[int, int], ...]
    norm: Normalisation
    source: str


def create_pyramid(model: str, *, tile_px: int, weights: str) -> PyramidEncoder:
    """Creates the encoder of the timm network `model`.

    Args:
        model: A timm name; a tag after a dot selects published weights and with them the normalisation.
        tile_px: Side of a tile.
        weights: As `initialise_weights` takes them.

    Raises:
        ParamsError: timm has no such network, it has no pyramid, or the weights are not there.
        DataError: The weights are of another network.
    """
    grader = create_grader(model, input_px=tile_px, drop_rate=0.0, drop_path_rate=0.0)
    source = initialise_weights(grader, model=model, weights=weights)
    encoder: Any = grader.backbone
    maps = _feature_maps(encoder, model)
    if tile_px % maps[-1][1]:
        raise ParamsError(
            f"tiles of {tile_px} px cannot be halved down to the coarsest feature map of {model}",
            where="training.tile_px of the lesions",
            todo=f"choose a multiple of {maps[-1][1]}",
        )
    encoder.prune_intermediate_layers(list(range(len(maps))), prune_norm=True, prune_head=True)
    return PyramidEncoder(encoder, maps, normalisation(model), source)


def _feature_maps(encoder: Any, model: str) -> tuple[tuple[int, int], ...]:
    info = getattr(encoder, "feature_info", ())
    maps = tuple((info[level]["num_chs"], info[level]["reduction"]) for level in range(len(info)))
    halved = all(2 * fine == coarse for (_, fine), (_, coarse) in pairwise(maps))
    if len(maps) < 2 or not halved or not hasattr(encoder, "prune_intermediate_layers"):
        raise ParamsError(
            f"{model} has no pyramid of feature maps, each half as large as the one before",
            where="training.model of the lesions",
            todo="choose a convolutional network, such as tf_efficientnet_lite0, resnet18 or convnext_atto",
        )
    return maps
