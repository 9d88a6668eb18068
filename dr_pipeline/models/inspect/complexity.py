"""Measures the cost of a network: parameters, multiply-accumulates, activations, and memory of training.

The network runs once and hooks count. On the meta device nothing is computed and no memory is allocated, so that a
network of a billion parameters can be measured on a laptop.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_COUNTED = (*_CONVOLUTIONS, *_TRANSPOSED, nn.Linear)

# AdamW in float32: weight, gradient, first and second moment (Loshchilov and Hutter 2019, arXiv:1711.05101).
_TENSORS_PER_PARAMETER = 4
_BYTES_PER_NUMBER = 4
# BatchNorm after a global pool rejects a batch of one in training.
_TRAINING_BATCH = 2


@dataclass(frozen=True)
class Complexity:
    """The cost of one example. Multiply-accumulates exclude biases, normalisation and pointwise functions."""

    parameters: int
    layer_macs: int  # in the convolution and linear layers
    total_macs: int  # with every other matrix product, such as those inside attention
    activations: int  # outputs of the convolution and linear layers
    saved_bytes: int  # stored for the backward pass, in the example's own precision

    def training_bytes(self, batch: int) -> int:
        """Memory of a training step: 16 bytes per parameter + batch × saved_bytes.

        An estimate for float32, AdamW and all parameters trained. It excludes temporary buffers, workspaces and the
        device's context, and includes attention matrices, which fused attention does not store. Peak resident memory
        of training on a CPU, batches of 8 to 32, was 0.9 to 1.25 times the estimate (ResNet-18, ViT-Tiny,
        EfficientNet-Lite0, EfficientNet-B3).
        """
        return _TENSORS_PER_PARAMETER * _BYTES_PER_NUMBER * self.parameters + batch * self.saved_bytes


def measure_complexity(module: nn.Module, example: Tensor) -> Complexity:
    """Runs `module` on one example, in evaluation mode for the counts and in training mode for the memory.

    The training pass updates BatchNorm's running statistics unless the module is on the meta device.

    Args:
        module: The network; its mode is restored.
        example: Shape (1, …), on the module's device.

    Raises:
        ValueError: There is not exactly one example.
    """
    if example.shape[0] != 1:
        raise ValueError(f"expected one example, got {example.shape[0]}")
    was_training = module.training
    try:
        module.eval()
        # with gradients: torch's counter fails on an expanded parameter (timm's latent pooling) without
        with torch.enable_grad(), _count_layers(module) as layers, FlopCounterMode(display=False) as flops:
            module(example)
        module.train()
        saved = _saved_bytes(module, torch.cat([example] * _TRAINING_BATCH))
    finally:
        module.train(was_training)
    return Complexity(
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        layer_macs=layers.macs,
        total_macs=flops.get_total_flops() // 2,  # torch counts multiplication and addition separately
        activations=layers.activations,
        saved_bytes=saved // _TRAINING_BATCH,
    )


@dataclass
class _Layers:
    macs: int = 0
    activations: int = 0


@contextmanager
def _count_layers(module: nn.Module) -> Iterator[_Layers]:
    """Adds up the calls of convolution and linear layers; a layer called twice counts twice."""
    layers = _Layers()

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        layers.macs += layer_macs(layer, inputs[0], output)
        layers.activations += output.numel()

    hooks = [layer.register_forward_hook(count) for layer in module.modules() if isinstance(layer, _COUNTED)]
    try:
        yield layers
    finally:
        for hook in hooks:
            hook.remove()


def layer_macs(layer: nn.Module, image: Tensor, output: Tensor) -> int:
    """Multiply-accumulates of one call of a convolution or linear layer, without the bias.

    Args:
        layer: A convolution or linear layer.
        image: Its input.
        output: Its output.

    Raises:
        TypeError: Another kind of layer.
    """
    if isinstance(layer, nn.Linear):
        return output.numel() * layer.in_features
    if isinstance(layer, _CONVOLUTIONS):  # per output: one kernel over its group's channels
        return output.numel() * (layer.in_channels // layer.groups) * math.prod(layer.kernel_size)
    if isinstance(layer, _TRANSPOSED):  # per input: one kernel over its group's output channels
        return image.numel() * (layer.out_channels // layer.groups) * math.prod(layer.kernel_size)
    raise TypeError(f"{type(layer).__name__} is neither a convolution nor a linear layer")


def _saved_bytes(module: nn.Module, batch: Tensor) -> int:
    """Bytes of the distinct storages that autograd saves for the backward pass, without parameters and buffers."""
    # the C++ address of a storage: on the meta device every data pointer is 0
    own = {tensor.untyped_storage()._cdata for tensor in (*module.parameters(), *module.buffers())}
    saved: dict[int, int] = {}

    def record(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            saved[storage._cdata] = storage.nbytes()
        return tensor  # held by the graph until `output` is deleted, so that no address is reused

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        output = module(batch)
    total = sum(saved.values())
    del output
    return total
