"""What each layer of a grader gives for some photographs: dead channels, and BatchNorm that expects other numbers.

Only layers that are modules are seen: normalisations and activation functions. A function called inside another
module's forward pass has no hook.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dr_pipeline.errors import GateError

When = Literal["before", "after"]

_NORMALISATIONS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)
# timm has activation functions of its own; only models/ may import it, so they are told by where they are defined.
_ACTIVATION_MODULES = ("torch.nn.modules.activation", "timm.layers.activations")
_NO_ACTIVATIONS = (nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.LogSoftmax)
_CHANNELS_SECOND = (_BatchNorm, nn.GroupNorm, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class LayerStatistics:
    """One layer, over all photographs it was shown; a row of reports/training/<candidate>-<fold>-layers.csv.

    Attributes:
        layer: Its name in the grader; `name#2` is the second call in one forward pass.
        kind: Its class, such as `BatchNorm2d` or `SiLU`.
        when: Before or after training.
        channels: How many it puts out.
        dead_channels: Of these, how many are never above zero after an activation, or the same number everywhere.
        mean: Of all that it puts out.
        std: The same.
        shift: BatchNorm only: how far the mean of what comes in is from the running mean, in running standard
            deviations, as the mean of the absolute over the channels.
    """

    layer: str
    kind: str
    when: When
    channels: int
    dead_channels: int
    mean: float
    std: float
    shift: float | None


def layer_statistics(grader: nn.Module, batches: Iterable[Tensor], *, when: When) -> tuple[LayerStatistics, ...]:
    """Shows photographs to `grader` in evaluation mode and describes its layers in the order in which they run.

    Args:
        grader: Its mode is put back; nothing in it changes.
        batches: uint8 (N, H, W, 3), taken to the grader's device.
        when: Noted in each row.

    Raises:
        ValueError: There is no batch.
        GateError: A layer puts out numbers that are not finite.
    """
    device = next(grader.parameters()).device
    watch = _Watch()
    was_training = grader.training
    num_batches = 0
    try:
        grader.eval()
        with _hooked(grader, watch), torch.inference_mode():
            for images in batches:
                watch.calls.clear()
                grader(images.to(device))
                num_batches += 1
    finally:
        grader.train(was_training)
    if not num_batches:
        raise ValueError("layers are described from at least one batch of photographs")
    return tuple(_statistics(name, seen, when) for name, seen in watch.layers.items())


@dataclass
class _Moments:
    """Sums over batches, of each channel, in float64; least and greatest number as they are."""

    count: int = 0
    total: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    squares: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    least: Tensor = field(default_factory=lambda: torch.tensor(math.inf))
    greatest: Tensor = field(default_factory=lambda: torch.tensor(-math.inf))

    def add(self, numbers: Tensor, axis: int) -> None:
        self.add_mean(numbers, axis)
        numbers, others = _others(numbers, axis)
        # the norm squares and adds in one pass; torch.var_mean takes several times as long on a CPU
        self.squares = self.squares + torch.linalg.vector_norm(numbers, dim=others).double().cpu() ** 2
        self.least = torch.minimum(self.least, numbers.amin(others).cpu())
        self.greatest = torch.maximum(self.greatest, numbers.amax(others).cpu())

    def add_mean(self, numbers: Tensor, axis: int) -> None:
        numbers, others = _others(numbers, axis)
        count = numbers.numel() // numbers.shape[axis]
        self.count += count
        self.total = self.total + count * numbers.mean(others).double().cpu()

    @property
    def mean(self) -> Tensor:
        return self.total / self.count


def _others(numbers: Tensor, axis: int) -> tuple[Tensor, list[int]]:
    """The numbers in float32, and every dimension but that of the channels."""
    return numbers.float(), [dimension for dimension in range(numbers.ndim) if dimension != axis % numbers.ndim]


@dataclass
class _Seen:
    layer: nn.Module
    is_activation: bool
    given: _Moments = field(default_factory=_Moments)  # of BatchNorm only
    put_out: _Moments = field(default_factory=_Moments)


@dataclass
class _Watch:
    layers: dict[str, _Seen] = field(default_factory=dict)  # in the order of their first call
    calls: Counter[str] = field(default_factory=Counter)  # in this forward pass
    axis: int = 1  # of the channels, behind the layer with weights that ran last

    def record(self, name: str, layer: nn.Module, given: Tensor, put_out: Tensor, *, is_activation: bool) -> None:
        self.calls[name] += 1
        key = name if self.calls[name] == 1 else f"{name}#{self.calls[name]}"
        seen = self.layers.setdefault(key, _Seen(layer, is_activation))
        seen.put_out.add(put_out, self.axis)
        if isinstance(layer, _BatchNorm):
            seen.given.add_mean(given, self.axis)


@contextmanager
def _hooked(grader: nn.Module, watch: _Watch) -> Iterator[None]:
    def follow_axis(layer: nn.Module, _given: tuple[Tensor, ...]) -> None:
        # timm's LayerNorm2d is a LayerNorm whose channels come second
        second = isinstance(layer, _CHANNELS_SECOND) or type(layer).__name__.endswith("2d")
        watch.axis = 1 if second else -1

    with ExitStack() as stack:
        fused: set[nn.Module] = set()  # activation functions inside a normalisation, described with it
        for name, layer in grader.named_modules():
            if isinstance(layer, (*_CHANNELS_SECOND, nn.Linear, nn.LayerNorm)):
                stack.callback(layer.register_forward_pre_hook(follow_axis).remove)
            inner = [child for child in layer.modules() if _is_activation(child)]
            if isinstance(layer, _NORMALISATIONS):
                fused.update(inner)
            elif not _is_activation(layer) or layer in fused:
                continue

            def describe(
                layer: nn.Module,
                given: tuple[Tensor, ...],
                put_out: Tensor,
                *,
                name: str = name,
                is_activation: bool = bool(inner),
            ) -> None:
                watch.record(name, layer, given[0], put_out, is_activation=is_activation)

            stack.callback(layer.register_forward_hook(describe).remove)
        yield


def _is_activation(layer: nn.Module) -> bool:
    defined = type(layer).__module__.startswith(_ACTIVATION_MODULES)
    return defined and not isinstance(layer, _NO_ACTIVATIONS)


def _statistics(name: str, seen: _Seen, when: When) -> LayerStatistics:
    out = seen.put_out
    mean = out.mean.mean().item()
    variance = max((out.squares / out.count).mean().item() - mean**2, 0.0)
    if not math.isfinite(mean) or not math.isfinite(variance):
        raise GateError(
            f"the layer {name} puts out numbers that are not finite, {when} training",
            where=type(seen.layer).__name__,
            todo="check the first weights; lower the candidate's learning_rate in params.yaml",
        )
    dead = out.least == out.greatest
    if seen.is_activation:
        dead = dead | (out.greatest <= 0)
    return LayerStatistics(
        layer=name,
        kind=type(seen.layer).__name__,
        when=when,
        channels=dead.numel(),
        dead_channels=int(dead.sum()),
        mean=mean,
        std=math.sqrt(variance),
        shift=_shift(seen),
    )


def _shift(seen: _Seen) -> float | None:
    layer = seen.layer
    if not isinstance(layer, _BatchNorm) or layer.running_mean is None or layer.running_var is None:
        return None
    running_std = (layer.running_var.double().cpu() + layer.eps).sqrt()
    return ((seen.given.mean - layer.running_mean.double().cpu()).abs() / running_std).mean().item()
