"""What a network sees of a canvas: planes computed inside the graph, and first weights fitted to them."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.candidate import Channel

RGB: tuple[Channel, ...] = ("red", "green", "blue")
# Graham's enhancement (report of the Kaggle competition of 2015): 4 · I − 4 · blur(I) + 128, σ = disc radius / 30. The
# disc fills the canvas, so σ is a sixtieth of the side. A box has that σ where its side is √12 · σ: 1/17 of the canvas.
GAIN, MIDDLE, WINDOWS_PER_SIDE = 4.0, 128.0, 17
# A pixel belongs to the retina where its brightest channel is above this level, as in fundus.arms.
SEEN_LEVEL = 12.0


class Planes(nn.Module):
    """RGB values → the planes wanted, all in 0 … 255.

    `local_contrast` is Graham's enhancement of the green channel, with a box for his Gaussian blur. The mean is taken
    over the retina alone, so that the black surround does not brighten the rim; outside it is mid-grey.

    Args:
        channels: The planes, in the network's order.
        input_px: Side of the canvas, which the window is a share of.

    Raises:
        ParamsError: A plane is asked for twice.
    """

    def __init__(self, channels: Sequence[Channel], *, input_px: int) -> None:
        super().__init__()
        if len(set(channels)) != len(channels):
            raise ParamsError(f"network.channels names a plane twice: {', '.join(channels)}", todo="name each once")
        self.channels = tuple(channels)
        self.radius = max(round(input_px / WINDOWS_PER_SIDE) // 2, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """RGB (N, 3, H, W), 0 … 255 → (N, channels, H, W)."""
        if self.channels == RGB:
            return pixels
        planes = [
            self._local_contrast(pixels)
            if channel == "local_contrast"
            else pixels[:, (at := RGB.index(channel)) : at + 1]
            for channel in self.channels
        ]
        return torch.cat(planes, dim=1)

    def _local_contrast(self, pixels: Tensor) -> Tensor:
        seen = (pixels.amax(dim=1, keepdim=True) > SEEN_LEVEL).to(pixels.dtype)
        green = pixels[:, 1:2] * seen
        # a window at the canvas's edge is smaller; both pools count the same pixels, so their ratio is the mean
        mean = self._pooled(green) / self._pooled(seen).clamp(min=torch.finfo(torch.float16).tiny)
        return (MIDDLE + GAIN * (green - mean * seen)).clamp(0.0, 255.0)

    def _pooled(self, plane: Tensor) -> Tensor:
        """Means over a square window: rows, then columns, which is the same and a sixteenth of the work."""
        side, radius = 2 * self.radius + 1, self.radius
        across = functional.avg_pool2d(plane, (1, side), stride=1, padding=(0, radius))
        return functional.avg_pool2d(across, (side, 1), stride=1, padding=(radius, 0))


def statistics(
    channels: Sequence[Channel], mean: Sequence[float], std: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each plane, for values in 0 … 1.

    A plane of the photograph has its own. `local_contrast` lies about mid-grey; it has the green plane's deviation.

    Args:
        channels: The planes.
        mean: Of red, green and blue, as the weights expect them.
        std: Of red, green and blue.
    """
    means = dict(zip(RGB, mean, strict=True)) | {"local_contrast": MIDDLE / 255}
    deviations = dict(zip(RGB, std, strict=True)) | {"local_contrast": std[1]}
    return tuple(means[channel] for channel in channels), tuple(deviations[channel] for channel in channels)


def adapted_convolution(weight: Tensor, source: Sequence[Channel], target: Sequence[Channel]) -> Tensor:
    """Weights of a first convolution, made for other planes.

    A single plane takes the sum over the source's, so that a grey photograph gives what it gave. Of several, a plane
    that the source has keeps its weights and a new one takes their mean; all are scaled by the ratio of the counts, so
    that what comes out keeps its size (Wightman: timm.models.adapt_input_conv, which repeats planes in turn).

    Args:
        weight: (out, blocks × source planes, height, width); more than one block behind space-to-depth stems.
        source: The planes that the weights were trained with.
        target: The planes wanted.

    Returns:
        (out, blocks × target planes, height, width); `weight` itself where nothing changes.

    Raises:
        ValueError: The weights do not have the source's planes.
    """
    if tuple(source) == tuple(target):
        return weight
    if weight.ndim != 4 or weight.shape[1] % len(source):
        raise ValueError(f"a first convolution of shape {tuple(weight.shape)} has not {len(source)} planes")
    out, _, height, width = weight.shape
    planes = weight.float().reshape(out, -1, len(source), height, width)
    if len(target) == 1:
        made = planes.sum(dim=2, keepdim=True)
    else:
        mean = planes.mean(dim=2)
        chosen = [planes[:, :, source.index(channel)] if channel in source else mean for channel in target]
        made = torch.stack(chosen, dim=2) * (len(source) / len(target))
    return made.reshape(out, -1, height, width).to(weight.dtype)


def first_convolutions(backbone: nn.Module) -> tuple[str, ...]:
    """Names of the weights that see the planes, as timm says."""
    named = cast("dict[str, str | tuple[str, ...]]", backbone.pretrained_cfg).get("first_conv") or ()
    return tuple(f"{name}.weight" for name in ((named,) if isinstance(named, str) else named))
