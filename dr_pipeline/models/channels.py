"""Input channels of a network: selected or computed inside the graph, and first convolutions adapted to them."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.candidate import Channel

RGB: tuple[Channel, ...] = ("red", "green", "blue")
# Graham's enhancement (report on the Kaggle competition of 2015): 4 · I − 4 · blur(I) + 128, σ = disc radius / 30. The
# disc fills the canvas, so σ is 1/60 of its side. A box filter has this σ if its side is √12 · σ: 1/17 of the canvas.
GAIN, MID_GREY, WINDOWS_PER_SIDE = 4.0, 128.0, 17
# A pixel belongs to the retina if its brightest channel is above this level, as in fundus.enhancement.
RETINA_LEVEL = 12.0


class InputChannels(nn.Module):
    """RGB → the selected channels, all in 0 … 255.

    `local_contrast` is Graham's enhancement of the green channel, with a box filter in place of his Gaussian blur. The
    mean is taken over the retina only, so that the black surround does not brighten the rim; the surround is mid-grey.

    Args:
        channels: In the network's order.
        input_px: Side of the canvas; the window scales with it.

    Raises:
        ParamsError: A channel is named twice.
    """

    def __init__(self, channels: Sequence[Channel], *, input_px: int) -> None:
        super().__init__()
        if len(set(channels)) != len(channels):
            raise ParamsError(f"network.channels names a channel twice: {', '.join(channels)}", todo="name each once")
        self.channels = tuple(channels)
        self.radius = max(round(input_px / WINDOWS_PER_SIDE) // 2, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """RGB (N, 3, H, W), 0 … 255 → (N, channels, H, W)."""
        if self.channels == RGB:
            return pixels
        selected = [
            self._local_contrast(pixels)
            if channel == "local_contrast"
            else pixels[:, (index := RGB.index(channel)) : index + 1]
            for channel in self.channels
        ]
        return torch.cat(selected, dim=1)

    def _local_contrast(self, pixels: Tensor) -> Tensor:
        retina = (pixels.amax(dim=1, keepdim=True) > RETINA_LEVEL).to(pixels.dtype)
        green = pixels[:, 1:2] * retina
        # windows at the canvas's edge are smaller; both averages divide by the same count, so their ratio is the mean
        mean = self._box_filter(green) / self._box_filter(retina).clamp(min=torch.finfo(torch.float16).tiny)
        return (MID_GREY + GAIN * (green - mean * retina)).clamp(0.0, 255.0)

    def _box_filter(self, image: Tensor) -> Tensor:
        """Means over a square window, separably: rows, then columns, at a sixteenth of the cost."""
        side, radius = 2 * self.radius + 1, self.radius
        rows = functional.avg_pool2d(image, (1, side), stride=1, padding=(0, radius))
        return functional.avg_pool2d(rows, (side, 1), stride=1, padding=(radius, 0))


def channel_statistics(
    channels: Sequence[Channel], mean: Sequence[float], std: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, for values in 0 … 1.

    `local_contrast` gets mid-grey and the standard deviation of green.

    Args:
        channels: The selected channels.
        mean: Of red, green and blue, as the weights expect them.
        std: Of red, green and blue.
    """
    means = dict(zip(RGB, mean, strict=True)) | {"local_contrast": MID_GREY / 255}
    deviations = dict(zip(RGB, std, strict=True)) | {"local_contrast": std[1]}
    return tuple(means[channel] for channel in channels), tuple(deviations[channel] for channel in channels)


def adapt_first_convolution(weight: Tensor, source: Sequence[Channel], target: Sequence[Channel]) -> Tensor:
    """Adapts the weights of a first convolution to other input channels.

    A single channel gets the sum over the source's, so that a grey photograph gives the same output. Of several, a
    channel of the source keeps its weights and a new one gets their mean; all are scaled by the ratio of the counts, so
    that the output keeps its magnitude (as timm.models.adapt_input_conv, which repeats channels in turn instead).

    Args:
        weight: (out, blocks × source channels, height, width); more than one block after space-to-depth stems.
        source: Channels that the weights were trained with.
        target: Channels of the network.

    Returns:
        (out, blocks × target channels, height, width); `weight` itself if nothing changes.

    Raises:
        ValueError: The weights do not have the source's channels.
    """
    if tuple(source) == tuple(target):
        return weight
    if weight.ndim != 4 or weight.shape[1] % len(source):
        raise ValueError(f"a first convolution of shape {tuple(weight.shape)} does not have {len(source)} channels")
    out, _, height, width = weight.shape
    by_channel = weight.float().reshape(out, -1, len(source), height, width)
    if len(target) == 1:
        adapted = by_channel.sum(dim=2, keepdim=True)
    else:
        mean = by_channel.mean(dim=2)
        selected = [by_channel[:, :, source.index(channel)] if channel in source else mean for channel in target]
        adapted = torch.stack(selected, dim=2) * (len(source) / len(target))
    return adapted.reshape(out, -1, height, width).to(weight.dtype)


def first_convolution_names(backbone: nn.Module) -> tuple[str, ...]:
    """Timm's names of the weights that see the input channels."""
    names = cast("dict[str, str | tuple[str, ...]]", backbone.pretrained_cfg).get("first_conv") or ()
    return tuple(f"{name}.weight" for name in ((names,) if isinstance(names, str) else names))
