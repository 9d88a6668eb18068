"""Counts what a network costs: parameters, multiply-accumulates, activations, and what training keeps in memory.

Nothing is estimated from names: the network runs once, and hooks count. On the meta device no number is computed and no
memory is taken, so that a network of a billion parameters is counted on a laptop.
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
# A batch of one is refused by BatchNorm behind a global pool, which trains on the spread between photographs.
_TRAINING_BATCH = 2


@dataclass(frozen=True)
class Complexity:
    """The cost of one example; biases, normalisation and pointwise functions are not multiply-accumulates here."""

    parameters: int
    layer_macs: int  # in the convolution and linear layers
    total_macs: int  # with every other matrix product, such as those inside attention
    activations: int  # numbers that the convolution and linear layers put out
    saved_bytes: int  # what the backward pass needs of the forward pass, in the example's own precision

    def training_bytes(self, batch: int) -> int:
        """Memory of a training step: 16 bytes for each parameter + batch × saved_bytes.

        An estimate in float32 with AdamW and every parameter trained. It leaves out passing buffers of single layers,
        the library's workspace and the device's context, and keeps attention's tokens × tokens, which fused attention
        does not. Peak resident memory of a training on a CPU, batches of 8 to 32, was 0.9 to 1.25 of it
        (ResNet-18, ViT-Tiny, EfficientNet-Lite0, EfficientNet-B3).
        """
        return _TENSORS_PER_PARAMETER * _BYTES_PER_NUMBER * self.parameters + batch * self.saved_bytes


def measure(module: nn.Module, example: Tensor) -> Complexity:
    """Runs `module` on one example, in evaluation for the counts and in training for the memory.

    BatchNorm's running figures move by the training pass, where the module is not on the meta device.

    Args:
        module: The network; its mode (training or evaluation) is put back.
        example: (1, …), on the module's device.
    """
    if example.shape[0] != 1:
        raise ValueError(f"one example is needed, not {example.shape[0]}")
    was_training = module.training
    try:
        module.eval()
        # with gradients: torch's counter fails on an expanded parameter (timm's latent pooling) without
        with torch.enable_grad(), _layers_counted(module) as layers, FlopCounterMode(display=False) as products:
            module(example)
        module.train()
        saved = _saved_bytes(module, torch.cat([example] * _TRAINING_BATCH))
    finally:
        module.train(was_training)
    return Complexity(
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        layer_macs=layers.macs,
        total_macs=products.get_total_flops() // 2,  # torch counts the product and the sum apart
        activations=layers.activations,
        saved_bytes=saved // _TRAINING_BATCH,
    )


@dataclass
class _Layers:
    macs: int = 0
    activations: int = 0


@contextmanager
def _layers_counted(module: nn.Module) -> Iterator[_Layers]:
    """Adds up the calls of convolution and linear layers; a layer that is called twice counts twice."""
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
    """Multiply-accumulates of one call of a convolution or linear layer, the bias left out.

    Args:
        layer: The layer; any other kind is a TypeError.
        image: What went in.
        output: What came out.
    """
    if isinstance(layer, nn.Linear):
        return output.numel() * layer.in_features
    if isinstance(layer, _CONVOLUTIONS):  # each output number: one kernel over its group's channels
        return output.numel() * (layer.in_channels // layer.groups) * math.prod(layer.kernel_size)
    if isinstance(layer, _TRANSPOSED):  # each input number is spread by one kernel over its group's output channels
        return image.numel() * (layer.out_channels // layer.groups) * math.prod(layer.kernel_size)
    raise TypeError(f"{type(layer).__name__} is neither a convolution nor a linear layer")


def _saved_bytes(module: nn.Module, batch: Tensor) -> int:
    """Bytes of the distinct storages that autograd keeps for the backward pass, the parameters' own left out."""
    # the C++ address of a storage: on the meta device every data pointer is 0
    own = {tensor.untyped_storage()._cdata for tensor in (*module.parameters(), *module.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor  # held by the graph until `output` goes, so that no address is given out twice

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = module(batch)
    total = sum(kept.values())
    del output
    return total
