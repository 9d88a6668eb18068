"""The segmenter: a timm encoder under a U-Net decoder of MONAI's blocks, with its input normalisation inside."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from monai.networks.nets.basic_unet import UpCat
from torch import Tensor, nn
from torch.nn import functional

from dr_pipeline.models.grader import Normalisation
from dr_pipeline.models.pyramid import create_pyramid
from dr_pipeline.params.lesion_training import LesionTraining

MIN_CHANNELS = 16
# Of the head, in logits: lesions cover about a hundredth of a photograph; from 0 the first steps would unlearn a half.
_INITIAL_LOGIT = -4.0


class Segmenter(nn.Module):
    """A network from stored pixels, uint8 RGB, to one logit per kind of lesion and pixel.

    The decoder ends at the encoder's finest feature map, usually half the resolution; the logits are enlarged from
    there. A decoder at full resolution takes twice the time.

    Attributes:
        encoder: timm network without its classifier.
        decoder: One block per feature map below the coarsest, from coarse to fine.
        head: Features of the finest map → logits of the kinds.
        stride: Of the coarsest feature map; a tile's side is a multiple of it.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        pyramid: Sequence[tuple[int, int]],
        norm: Normalisation,
        *,
        num_kinds: int,
        decoder_channels: int,
    ) -> None:
        """Builds the decoder.

        Args:
            encoder: timm network.
            pyramid: Channels and stride of each feature map, from fine to coarse.
            norm: Of the encoder's input.
            num_kinds: Outputs.
            decoder_channels: Of the coarsest block; each finer one has half, `MIN_CHANNELS` at least.
        """
        super().__init__()
        self.encoder = encoder
        self.finest_stride, self.stride = pyramid[0][1], pyramid[-1][1]
        channels, width, blocks = pyramid[-1][0], decoder_channels, []
        for skipped, _ in pyramid[-2::-1]:
            blocks.append(_up_block(channels, skipped, width))
            channels, width = width, max(MIN_CHANNELS, width // 2)
        self.decoder = nn.ModuleList(blocks)
        self.head = nn.Conv2d(channels, num_kinds, kernel_size=3, padding=1)
        nn.init.constant_(cast("Tensor", self.head.bias), _INITIAL_LOGIT)
        self.register_buffer("mean", torch.tensor(norm.mean).mul(255).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(norm.std).mul(255).view(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, H, W, 3), H and W multiples of `stride` → logits (N, kinds, H, W)."""
        pixels = (image.permute(0, 3, 1, 2).to(self.mean.dtype) - self.mean) / self.std
        encoder = cast("Any", self.encoder)  # timm's own method
        *finer, features = encoder.forward_intermediates(pixels, intermediates_only=True)
        for block, skipped in zip(self.decoder, reversed(finer), strict=True):
            features = block(features, skipped)
        logits = self.head(features)
        return functional.interpolate(
            logits, scale_factor=float(self.finest_stride), mode="bilinear", align_corners=False
        )


def _up_block(channels: int, skipped: int, out: int) -> UpCat:
    """Enlarges twice, concatenates the encoder's feature map, convolves twice."""
    return UpCat(
        spatial_dims=2,
        in_chns=channels,
        cat_chns=skipped,
        out_chns=out,
        act=("relu", {"inplace": True}),
        norm="batch",
        bias=False,
        upsample="nontrainable",
        interp_mode="bilinear",
        align_corners=False,
        is_pad=False,
    )


def create_segmenter(
    model: str, *, num_kinds: int, decoder_channels: int, tile_px: int, weights: str = "none"
) -> tuple[Segmenter, str]:
    """Creates a segmenter on the timm network `model`.

    Args:
        model: A timm name; a tag after a dot selects published weights and with them the normalisation.
        num_kinds: Outputs.
        decoder_channels: Of the coarsest block of the decoder.
        tile_px: Side of a tile.
        weights: Of the encoder, as `initialise_weights` takes them.

    Returns:
        The network, and one line on the source of the encoder's weights.

    Raises:
        ParamsError: timm has no such network, it has no pyramid, or the weights are not there.
        DataError: The weights are of another network.
    """
    pyramid = create_pyramid(model, tile_px=tile_px, weights=weights)
    network = Segmenter(
        pyramid.encoder, pyramid.maps, pyramid.norm, num_kinds=num_kinds, decoder_channels=decoder_channels
    )
    return network, pyramid.source


def segmenter_from_params(params: LesionTraining, num_kinds: int, *, weights: str = "none") -> tuple[Segmenter, str]:
    """The network that a section of params.yaml describes; see `create_segmenter`."""
    return create_segmenter(
        params.model,
        num_kinds=num_kinds,
        decoder_channels=params.decoder_channels,
        tile_px=params.tile_px,
        weights=weights,
    )
