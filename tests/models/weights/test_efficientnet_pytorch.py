"""EfficientNet-PyTorch's names and timm's: the same tensors, and the outputs of the published architecture."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from dr_pipeline.errors import DataError
from dr_pipeline.models.grader import create_grader, normalisation
from dr_pipeline.models.weights.checkpoint_files import read_tensors
from dr_pipeline.models.weights.efficientnet_pytorch import rename_efficientnet_pytorch
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.models.weights.packages import KNOWN_PACKAGES
from tests.factories.networks import random_grader
from tests.factories.packages import known_weights

pytestmark = pytest.mark.slow

EPS = 1e-3
# By stage, from the paper (arXiv:1905.11946, table 1): blocks, and the stride of the first.
BLOCKS = (1, 2, 2, 3, 3, 4, 1)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
# Factors of the depth; Lite networks keep the first and the last stage as they are.
DEPTH = {"tf_efficientnet_lite0": 1.0, "tf_efficientnet_lite1": 1.1, "tf_efficientnet_lite2": 1.2}


def same(x: Tensor, weight: Tensor, *, stride: int = 1) -> Tensor:
    """A convolution as TensorFlow pads: an odd pixel goes to the right and below."""
    side, kernel = x.shape[-1], weight.shape[-1]
    padding = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    before, after = padding // 2, padding - padding // 2
    groups = x.shape[1] if weight.shape[1] == 1 else 1
    return functional.conv2d(functional.pad(x, (before, after, before, after)), weight, stride=stride, groups=groups)


def published_forward(tensors: Mapping[str, Tensor], images: Tensor, *, depth: float) -> Tensor:
    """Logits of EfficientNet-Lite, from the checkpoint's own names: no squeeze-and-excite, ReLU6."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (tensors[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, mean, var, weight, bias, eps=EPS)

    def conv(x: Tensor, name: str, *, stride: int = 1) -> Tensor:
        return same(x, tensors[f"{name}.weight"], stride=stride)

    x = functional.relu6(norm(conv(images, "_conv_stem", stride=2), "_bn0"))
    number = 0
    for stage, (blocks, first_stride) in enumerate(zip(BLOCKS, STRIDES, strict=True)):
        scaled = blocks if stage in (0, len(BLOCKS) - 1) else math.ceil(depth * blocks)
        for index in range(scaled):
            block, stride, start = f"_blocks.{number}", first_stride if index == 0 else 1, x
            if f"{block}._expand_conv.weight" in tensors:
                x = functional.relu6(norm(conv(x, f"{block}._expand_conv"), f"{block}._bn0"))
            x = functional.relu6(norm(conv(x, f"{block}._depthwise_conv", stride=stride), f"{block}._bn1"))
            x = norm(conv(x, f"{block}._project_conv"), f"{block}._bn2")
            x = x + start if stride == 1 and x.shape == start.shape else x
            number += 1
    assert f"_blocks.{number}._bn2.weight" not in tensors
    x = functional.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
    return functional.linear(x, tensors["_fc.weight"], tensors["_fc.bias"])


@pytest.mark.parametrize("model", KNOWN_PACKAGES)
def test_every_tensor_of_a_package_is_one_of_timms_network_classifier_included(model: str) -> None:
    tensors = read_tensors((known_weights(model).path,))
    network = timm.create_model(model, num_classes=1000)
    renamed = rename_efficientnet_pytorch(tensors, network.state_dict())
    network.load_state_dict(renamed, strict=True)
    # both libraries build the network in the order of its layers: without any name, tensor by tensor
    assert len(tensors) == len(network.state_dict()) >= 296
    for theirs, (name, ours) in zip(tensors.values(), network.state_dict().items(), strict=True):
        assert torch.equal(theirs, ours), name


@pytest.mark.parametrize("model", ["tf_efficientnet_lite0", "tf_efficientnet_lite2"])
def test_a_packages_network_gives_the_outputs_of_the_published_architecture(model: str) -> None:
    tensors = read_tensors((known_weights(model).path,))
    network = timm.create_model(model, num_classes=1000).eval()
    network.load_state_dict(rename_efficientnet_pytorch(tensors, network.state_dict()))
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected, found = published_forward(tensors, images, depth=DEPTH[model]), network(images)
    assert expected.std() > 0.1
    assert (expected - found).abs().max() < 1e-3


@pytest.mark.parametrize("model", KNOWN_PACKAGES)
def test_a_package_starts_a_grader_with_the_normalisation_of_its_weights(model: str) -> None:
    package = known_weights(model)
    tensors = read_tensors((package.path,))
    grader = create_grader(model, input_px=64, drop_rate=0.1, drop_path_rate=0.0)
    line = initialise_weights(grader, model=model, weights=package.reference)
    assert f"package {package.name} 0.1.0, sha256 {package.sha256}, Google's checkpoint (Apache-2.0)" in line
    assert torch.equal(grader.backbone.conv_stem.weight, tensors["_conv_stem.weight"])
    assert torch.equal(grader.backbone.bn2.running_var, tensors["_bn1.running_var"])
    assert grader.backbone.classifier.weight.shape[0] == 5
    assert str(normalisation(model)) == "mean 0.5/0.5/0.5, std 0.5/0.5/0.5"


def test_the_package_of_another_network_is_refused() -> None:
    grader = create_grader("tf_efficientnet_lite1", input_px=64, drop_rate=0.0, drop_path_rate=0.0)
    for model in ("tf_efficientnet_lite0", "tf_efficientnet_lite2"):
        with pytest.raises(DataError, match="another architecture"):
            initialise_weights(grader, model="tf_efficientnet_lite1", weights=known_weights(model).reference)


def test_the_dequantised_file_is_the_packages_checkpoint(lite0_weights: Path) -> None:
    """Of Google's int8 file, whose normalisation is folded into the convolutions; 8 bits round by about 1 %."""
    network = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    names = list(network.state_dict())
    exact = rename_efficientnet_pytorch(read_tensors((known_weights("tf_efficientnet_lite0").path,)), names)
    coarse = load_file(lite0_weights)

    def folded(tensors: Mapping[str, Tensor], convolution: str, norm: str) -> Tensor:
        scale = tensors[f"{norm}.weight"] / torch.sqrt(tensors[f"{norm}.running_var"] + EPS)
        return tensors[f"{convolution}.weight"] * scale[:, None, None, None]

    convolutions = [name.removesuffix(".weight") for name in names if exact[name].ndim == 4]
    assert len(convolutions) == 49
    for convolution in convolutions:
        norm = names[names.index(f"{convolution}.weight") + 1].removesuffix(".weight")
        one, other = folded(exact, convolution, norm), folded(coarse, convolution, norm)
        assert (one - other).norm() < 0.015 * one.norm(), convolution


def efficientnet_pytorch_names(network: torch.nn.Module) -> dict[str, Tensor]:
    """The network's tensors as EfficientNet-PyTorch names them, from its modules."""
    parts = {"_conv_stem": network.conv_stem, "_bn0": network.bn1, "_conv_head": network.conv_head}
    parts |= {"_bn1": network.bn2, "_fc": network.classifier}
    for number, block in enumerate(block for stage in network.blocks for block in stage):
        expands = hasattr(block, "conv_pwl")
        layers = {"_depthwise_conv": block.conv_dw, "_bn1": block.bn2 if expands else block.bn1}
        layers |= {"_expand_conv": block.conv_pw, "_bn0": block.bn1} if expands else {}
        layers |= {"_project_conv": block.conv_pwl if expands else block.conv_pw}
        layers |= {"_bn2": block.bn3 if expands else block.bn2}
        layers |= {"_se_reduce": block.se.conv_reduce, "_se_expand": block.se.conv_expand}
        parts |= {f"_blocks.{number}.{name}": layer for name, layer in layers.items()}
    return {f"{name}.{leaf}": t for name, part in parts.items() for leaf, t in part.state_dict().items()}


def test_a_file_of_that_library_is_read_with_squeeze_and_excite_and_wrappers(tmp_path: Path) -> None:
    model = "tf_efficientnet_b0"
    source, target = random_grader(model, seed=1), random_grader(model, seed=2)
    stored = efficientnet_pytorch_names(source.backbone)
    assert len(stored) == len(source.backbone.state_dict())
    save_file({f"module.{name}": tensor.contiguous() for name, tensor in stored.items()}, tmp_path / "b0.safetensors")
    line = initialise_weights(target, model=model, weights=f"file:{tmp_path / 'b0.safetensors'}")
    assert f"renamed from EfficientNet-PyTorch ({len(stored)} tensors)" in line
    for name, tensor in source.backbone.state_dict().items():
        assert name.startswith("classifier.") or torch.equal(target.backbone.state_dict()[name], tensor), name


def test_networks_that_pad_otherwise_are_refused(tmp_path: Path) -> None:
    source = random_grader("tf_efficientnet_b0")
    stored = {name: tensor.contiguous() for name, tensor in efficientnet_pytorch_names(source.backbone).items()}
    save_file(stored, tmp_path / "b0.safetensors")
    with pytest.raises(DataError, match=r"padding.*\n.*\n.*tf_"):
        initialise_weights(
            random_grader("efficientnet_b0"), model="efficientnet_b0", weights=f"file:{tmp_path / 'b0.safetensors'}"
        )


def test_names_without_counterpart_are_kept() -> None:
    own = ["conv_stem.weight", "blocks.0.0.conv_dw.weight", "blocks.0.0.conv_pw.weight", "blocks.10.0.conv_pwl.weight"]
    names = ["_blocks.0._project_conv.weight", "_blocks.1._project_conv.weight", "_blocks.2._bn0.bias", "_x", "_bn9.a"]
    expected = ["blocks.0.0.conv_pw.weight", "blocks.10.0.conv_pwl.weight", "_blocks.2._bn0.bias", "_x", "_bn9.a"]
    assert list(rename_efficientnet_pytorch(dict.fromkeys(names, torch.zeros(())), own)) == expected
