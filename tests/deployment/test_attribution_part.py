"""The second output: exact, registered, and without effect on the network that it is appended to."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from dr_pipeline.bundle.attribution import AttributionModel
from dr_pipeline.bundle.golden import draw_disc
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.deployment.formats.attribution_part import attribution_part
from dr_pipeline.deployment.formats.onnx_int8 import quantise
from dr_pipeline.files import read_json
from dr_pipeline.models.explain import Severity
from dr_pipeline.models.grader import Grader, grader_from_spec
from dr_pipeline.models.weights.trained_weights import load_strict
from tests.factories.bundles import INPUT_PX, onnx_model
from tests.factories.small_networks import blue_network, relu6_network, small_photographs

SEVERITY = np.arange(-2, 3)


def loaded(network: bytes, min_cells: int = 32) -> AttributionModel:
    return AttributionModel(network, attribution_part(network, min_cells=min_cells), threads=1)


def torch_products(grader: Grader, inputs: np.ndarray) -> list[np.ndarray]:
    """Feature times gradient, summed over the channels, at every module's output."""
    seen: list[torch.Tensor] = []

    def keep(_module: object, _inputs: object, output: torch.Tensor) -> None:
        if output.requires_grad:
            output.retain_grad()
            seen.append(output)

    hooks = [module.register_forward_hook(keep) for module in grader.backbone.modules()]
    pixels = grader.normalise(torch.from_numpy(inputs)).requires_grad_()
    Severity(grader)(pixels).sum().backward()
    for hook in hooks:
        hook.remove()
    return [(one.detach() * one.grad).sum(1).numpy() for one in seen if one.grad is not None and one.ndim == 4]


@pytest.mark.parametrize("min_cells", [1, 4])
def test_it_is_feature_times_gradient_as_torch_computes_it(single: Path, min_cells: int) -> None:
    """An EfficientNet with SiLU and squeeze-and-excitation, on a batch of two."""
    (folder,) = (path.parent for path in single.rglob("export.json"))
    grader = grader_from_spec(read_json(folder / "export.json")).eval()
    load_strict(grader, folder / "weights.safetensors")
    inputs = np.stack([draw_disc(seed, INPUT_PX) for seed in (1, 2)])
    found = loaded((folder / "model.onnx").read_bytes(), min_cells).attribution(inputs)
    same_shape = [product for product in torch_products(grader, inputs) if product.shape == found.shape]
    assert min(np.abs(product - found).max() for product in same_shape) <= 1e-4 * np.abs(found).max()
    assert min(found.shape[1:]) >= min_cells


def test_of_a_network_without_biases_the_cells_add_up_to_the_severity() -> None:
    """Euler's theorem: it is homogeneous of degree 1 where no activation is at its bound of 6."""
    model = relu6_network()
    (first,) = (tensor for tensor in model.graph.initializer if tensor.name == "first_weight")
    first.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(first) * np.float32(0.2), first.name))
    network = model.SerializeToString()
    inputs = np.concatenate(small_photographs(3))
    attribution, logits = loaded(network).attribution(inputs), OnnxModel(network, threads=1).logits(inputs)
    assert attribution.shape == (3, INPUT_PX, INPUT_PX)
    assert attribution.sum(axis=(1, 2)) == pytest.approx(logits @ SEVERITY, rel=1e-4)


def test_the_network_answers_as_without_the_part_and_the_part_is_small() -> None:
    network = relu6_network().SerializeToString()
    inputs = np.concatenate(small_photographs(4))
    assert np.array_equal(loaded(network).logits(inputs), OnnxModel(network, threads=1).logits(inputs))
    assert len(attribution_part(network)) < 10_000
    assert attribution_part(network) == attribution_part(network)


@pytest.mark.parametrize("stride", [1, 2])
def test_in_8_bits_it_is_that_of_float32(stride: int) -> None:
    """With 2 its way back leads through activations, which in 8 bits the range of the whole numbers clips."""
    photographs, float32 = small_photographs(40), relu6_network(stride=stride)
    network = quantise(float32, photographs)
    assert sum(node.op_type == "Clip" for node in network.graph.node) <= 1  # of the layer that stays in float32
    inputs = np.concatenate(photographs[:8])
    exact, found = (loaded(model.SerializeToString()).attribution(inputs) for model in (float32, network))
    assert np.corrcoef(exact.ravel(), found.ravel())[0, 1] > 0.97


@pytest.mark.parametrize(
    ("pads", "x", "y"), [((0, 0, 1, 1), 1.5, 1.5), ((1, 1, 1, 1), 0.5, 0.5), ((0, 1, 1, 0), 0.5, 1.5)]
)
def test_cells_lie_where_the_padding_puts_them(pads: tuple[int, int, int, int], x: float, y: float) -> None:
    """A blue place is found where it is, whichever side the padding is on."""
    model = loaded(blue_network(pads=pads).SerializeToString())
    assert (model.grid.step, model.grid.x, model.grid.y) == (2, x, y)
    inputs = np.full((1, 64, 64, 3), 40, np.uint8)
    inputs[0, 20:26, 41:47] = (0, 0, 250)
    on_canvas = model.grid.on_canvas(model.attribution(inputs)[0], 64, 128)
    weights = on_canvas - on_canvas.min()
    middle = [weights.sum(axis=axis) @ (np.arange(128) + 0.5) / weights.sum() for axis in (0, 1)]
    assert middle == pytest.approx([2 * 44, 2 * 23], abs=1)


@pytest.mark.parametrize(
    "network",
    [onnx_model(), blue_network(px=32).SerializeToString()],
    ids=["no convolution", "a feature map of 16 cells"],
)
def test_where_there_is_none_the_part_is_empty(network: bytes) -> None:
    assert attribution_part(network) == b""


def test_an_operator_without_a_derivative_gives_no_part() -> None:
    model = blue_network()
    (convolution,) = (node for node in model.graph.node if node.op_type == "Conv")
    convolution.attribute.append(onnx.helper.make_attribute("auto_pad", "SAME_UPPER"))
    assert attribution_part(model.SerializeToString()) == b""
