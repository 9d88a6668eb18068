"""Statistics of a grader's layers on some photographs: dead channels, and BatchNorm with a shifted input.

Only modules are covered: normalisations and activation functions. A function called inside another module's forward
pass has no hook.
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
from dr_pipeline.tables.history import LayerRow

When = Literal["before", "after"]

_NORMALISATIONS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)
# timm has its own activation functions; only models/ may import it, so they are recognised by their module.
_ACTIVATION_MODULES = ("torch.nn.modules.activation", "timm.layers.activations")
_NO_ACTIVATIONS = (nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.LogSoftmax)
_CHANNELS_SECOND = (_BatchNorm, nn.GroupNorm, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def layer_statistics(grader: nn.Module, batches: Iterable[Tensor], *, when: When) -> tuple[LayerRow, ...]:
    """Runs `grader` on photographs in evaluation mode and describes its layers in the order in which they run.

    Args:
        grader: Its mode is restored; nothing in it changes.
        batches: uint8 (N, H, W, 3), moved to the grader's device.
        when: Recorded in each row.

    Raises:
        ValueError: There is no batch.
        GateError: The outputs of a layer are not finite.
    """
    device = next(grader.parameters()).device
    recorder = _Recorder()
    was_training = grader.training
    num_batches = 0
    try:
        grader.eval()
        with _hooked(grader, recorder), torch.inference_mode():
            for images in batches:
                recorder.calls.clear()
                grader(images.to(device))
                num_batches += 1
    finally:
        grader.train(was_training)
    if not num_batches:
        raise ValueError("layers are described from at least one batch of photographs")
    return tuple(_statistics(name, record, when) for name, record in recorder.layers.items())


@dataclass
class _Moments:
    """Sums over batches, of each channel, in float64; minimum and maximum."""

    count: int = 0
    total: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    squares: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    minimum: Tensor = field(default_factory=lambda: torch.tensor(math.inf))
    maximum: Tensor = field(default_factory=lambda: torch.tensor(-math.inf))

    def add(self, values: Tensor, axis: int) -> None:
        self.add_mean(values, axis)
        values, others = _channelwise(values, axis)
        # the norm squares and adds in one pass; torch.var_mean takes several times as long on a CPU
        self.squares = self.squares + torch.linalg.vector_norm(values, dim=others).double().cpu() ** 2
        self.minimum = torch.minimum(self.minimum, values.amin(others).cpu())
        self.maximum = torch.maximum(self.maximum, values.amax(others).cpu())

    def add_mean(self, values: Tensor, axis: int) -> None:
        values, others = _channelwise(values, axis)
        count = values.numel() // values.shape[axis]
        self.count += count
        self.total = self.total + count * values.mean(others).double().cpu()

    @property
    def mean(self) -> Tensor:
        return self.total / self.count


def _channelwise(values: Tensor, axis: int) -> tuple[Tensor, list[int]]:
    """The values in float32, and every dimension but that of the channels."""
    return values.float(), [dimension for dimension in range(values.ndim) if dimension != axis % values.ndim]


@dataclass
class _LayerRecord:
    layer: nn.Module
    is_activation: bool
    inputs: _Moments = field(default_factory=_Moments)  # of BatchNorm only
    outputs: _Moments = field(default_factory=_Moments)


@dataclass
class _Recorder:
    layers: dict[str, _LayerRecord] = field(default_factory=dict)  # in the order of their first call
    calls: Counter[str] = field(default_factory=Counter)  # in this forward pass
    axis: int = 1  # of the channels, after the last layer with weights

    def record(self, name: str, layer: nn.Module, inputs: Tensor, outputs: Tensor, *, is_activation: bool) -> None:
        self.calls[name] += 1
        key = name if self.calls[name] == 1 else f"{name}#{self.calls[name]}"
        record = self.layers.setdefault(key, _LayerRecord(layer, is_activation))
        record.outputs.add(outputs, self.axis)
        if isinstance(layer, _BatchNorm):
            record.inputs.add_mean(inputs, self.axis)


@contextmanager
def _hooked(grader: nn.Module, recorder: _Recorder) -> Iterator[None]:
    def follow_axis(layer: nn.Module, _inputs: tuple[Tensor, ...]) -> None:
        # timm's LayerNorm2d is a LayerNorm whose channels come second
        second = isinstance(layer, _CHANNELS_SECOND) or type(layer).__name__.endswith("2d")
        recorder.axis = 1 if second else -1

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
                inputs: tuple[Tensor, ...],
                outputs: Tensor,
                *,
                name: str = name,
                is_activation: bool = bool(inner),
            ) -> None:
                recorder.record(name, layer, inputs[0], outputs, is_activation=is_activation)

            stack.callback(layer.register_forward_hook(describe).remove)
        yield


def _is_activation(layer: nn.Module) -> bool:
    defined = type(layer).__module__.startswith(_ACTIVATION_MODULES)
    return defined and not isinstance(layer, _NO_ACTIVATIONS)


def _statistics(name: str, record: _LayerRecord, when: When) -> LayerRow:
    out = record.outputs
    mean = out.mean.mean().item()
    variance = max((out.squares / out.count).mean().item() - mean**2, 0.0)
    if not math.isfinite(mean) or not math.isfinite(variance):
        raise GateError(
            f"the outputs of the layer {name} are not finite, {when} training",
            where=type(record.layer).__name__,
            todo="check the first weights; lower the candidate's learning_rate in params.yaml",
        )
    dead = out.minimum == out.maximum
    if record.is_activation:
        dead = dead | (out.maximum <= 0)
    return LayerRow(
        layer=name,
        kind=type(record.layer).__name__,
        when=when,
        channels=dead.numel(),
        dead_channels=int(dead.sum()),
        mean=mean,
        std=math.sqrt(variance),
        shift=_shift(record),
    )


def _shift(record: _LayerRecord) -> float | None:
    layer = record.layer
    if not isinstance(layer, _BatchNorm) or layer.running_mean is None or layer.running_var is None:
        return None
    running_std = (layer.running_var.double().cpu() + layer.eps).sqrt()
    return ((record.inputs.mean - layer.running_mean.double().cpu()).abs() / running_std).mean().item()
