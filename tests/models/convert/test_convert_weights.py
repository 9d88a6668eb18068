"""Weights of other formats and frameworks: converted to the same function, or refused with a reason."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import Tensor

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.models.convert.convert_weights import convert_weights
from dr_pipeline.models.convert.foreign_files import dequantise, dequantise_linear, read_onnx
from dr_pipeline.models.convert.torch_layout import TO_TORCH, NameRule, read_name_map, to_torch_layout
from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.models.weights.initialise import initialise_weights
from tests.factories.networks import MODEL, random_grader, random_images, run_models

pytestmark = pytest.mark.slow


def fresh(model: str = MODEL) -> Grader:
    return create_grader(model, input_px=64, drop_rate=0.0, drop_path_rate=0.0).eval()


def features(grader: Grader) -> Tensor:
    with torch.inference_mode():
        return grader.backbone.forward_features(grader.normalise(random_images()))


def tensorflow_of(grader: Grader) -> dict[str, Tensor]:
    """The network's tensors in TensorFlow's orders of axes."""
    permuted = {}
    for name, tensor in grader.backbone.state_dict().items():
        if tensor.ndim == 4 and tensor.shape[1] == 1 and "conv_dw" in name:
            permuted[name] = tensor.permute(2, 3, 0, 1).contiguous()
        elif tensor.ndim == 4:
            permuted[name] = tensor.permute(2, 3, 1, 0).contiguous()
        elif not name.endswith("num_batches_tracked"):
            permuted[name] = tensor
    return permuted


def test_an_exported_graph_is_restored_to_the_network(tmp_path: Path, graph: Path) -> None:
    source, target = random_grader(), fresh()
    outcome = run_models("convert", graph, "--model", MODEL, "--out", tmp_path / "w.safetensors")
    assert "34 batch normalisations taken out of their convolutions" in outcome.headline
    assert "_bias" not in outcome.headline  # what was used under another name is not called unused
    line = initialise_weights(target, model=MODEL, weights=f"file:{tmp_path / 'w.safetensors'}")
    assert "taken out of their convolutions" in line
    assert "converted from w.onnx, sha256 " in line
    assert str(tmp_path) not in line
    torch.testing.assert_close(features(target), features(source), rtol=1e-4, atol=1e-5)


def test_weights_in_tensorflows_layout_are_permuted(tmp_path: Path) -> None:
    source, target = random_grader(), fresh()
    np.savez(tmp_path / "w.npz", **{name: tensor.numpy() for name, tensor in tensorflow_of(source).items()})
    converted = convert_weights(tmp_path / "w.npz", model=MODEL, rules=square_kernels(source, tmp_path))
    assert any("turned from HWCM" in note for note in converted.notes)
    assert any("turned from HWIO" in note for note in converted.notes)
    write_tensors(converted.tensors, tmp_path / "w.safetensors", notes=converted.notes)
    initialise_weights(target, model=MODEL, weights=f"file:{tmp_path / 'w.safetensors'}")
    assert torch.equal(features(target), features(source))


def square_kernels(source: Grader, folder: Path) -> tuple[NameRule, ...]:
    """A name map that declares HWIO for every kernel but the depthwise ones."""
    names = [name for name, t in source.backbone.state_dict().items() if t.ndim == 4 and "conv_dw" not in name]
    path = folder / "map.csv"
    path.write_text("from,to,transpose\n" + "".join(f"{name},{name},HWIO\n" for name in names))
    return read_name_map(path)


def test_names_are_mapped_and_slots_of_an_optimiser_left_out(tmp_path: Path) -> None:
    source = random_grader("resnet10t", px=32)
    tensors = {f"net/{name.replace('.', '/')}": t for name, t in source.backbone.state_dict().items()}
    save_file(tensors | {"net/step": torch.ones(3)}, tmp_path / "w.safetensors")
    rows = [f"{name},{name.removeprefix('net/').replace('/', '.')}" for name in tensors]
    (tmp_path / "map.csv").write_text("from,to\n" + "\n".join([*rows, "net/step,"]) + "\n")
    converted = convert_weights(
        tmp_path / "w.safetensors", model="resnet10t", rules=read_name_map(tmp_path / "map.csv")
    )
    assert "1 tensors left out by the map" in converted.notes
    assert all(torch.equal(tensor, source.backbone.state_dict()[name]) for name, tensor in converted.tensors.items())
    with pytest.raises(DataError, match="another architecture"):
        convert_weights(tmp_path / "w.safetensors", model="resnet10t", rules=())
    for table, message in (("net/none,conv1.0.weight", "net/none"), ("net/step,conv9", "does not have: conv9")):
        (tmp_path / "map.csv").write_text(f"from,to\n{table}\n")
        rules = read_name_map(tmp_path / "map.csv")
        with pytest.raises(DataError, match=message):
            convert_weights(tmp_path / "w.safetensors", model="resnet10t", rules=rules)


def codes_of(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """int8 codes with a scale and a zero point for each output channel; the range holds 0, as quantisers have it."""
    flat = weight.flatten(1)
    low, high = flat.amin(1).clamp(max=0), flat.amax(1).clamp(min=0)
    scale = (high - low).clamp(min=1e-6) / 255
    zero = (-128 - low / scale).round().clamp(-128, 127)
    shape = (-1, *[1] * (weight.ndim - 1))
    codes = (weight / scale.view(shape) + zero.view(shape)).round().clamp(-128, 127)
    return codes.to(torch.int8), scale, zero.to(torch.int8)


def test_int8_weights_are_dequantised_with_a_note(tmp_path: Path) -> None:
    source, target = random_grader(), fresh()
    tensors: dict[str, Tensor] = {}
    for name, tensor in source.backbone.state_dict().items():
        if tensor.ndim == 4:
            tensors[name], tensors[f"{name}.scale"], tensors[f"{name}.zero_point"] = codes_of(tensor)
        else:
            tensors[name] = tensor
    save_file(tensors, tmp_path / "int8.safetensors")
    with pytest.raises(DataError, match="models convert"):
        initialise_weights(target, model=MODEL, weights=f"file:{tmp_path / 'int8.safetensors'}")
    out = tmp_path / "w.safetensors"
    run_models("convert", tmp_path / "int8.safetensors", "--model", MODEL, "--out", out)
    line = initialise_weights(target, model=MODEL, weights=f"file:{out}")
    assert "53 tensors de-quantised from integers: rounding stays in them" in line
    weight, expected = target.backbone.conv_stem.weight, source.backbone.conv_stem.weight
    assert ((weight - expected).flatten(1).abs().amax(1) <= codes_of(expected)[1] * 1.01).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from([(4, 3, 3, 3), (6, 5), (1, 7)]))
@settings(max_examples=20, deadline=None)
def test_dequantising_is_exact_to_half_a_step(seed: int, shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    codes, scale, zero = codes_of(weight)
    weights, notes = dequantise({"w_quantized": codes, "w_scale": scale, "w_zero_point": zero})
    assert set(weights) == {"w"}
    assert len(notes) == 1
    # the zero point is rounded, and a code at the end of the range is clipped by as much
    assert ((weights["w"] - weight).flatten(1).abs().amax(1) <= scale * 1.01).all()


def test_a_scale_that_does_not_go_with_its_codes_is_refused() -> None:
    codes = torch.zeros(4, 3, dtype=torch.int8)
    with pytest.raises(DataError, match="one for each output channel"):
        dequantise_linear(codes, torch.ones(3), None, axis=0, name="w")
    with pytest.raises(DataError, match="zero point"):
        dequantise_linear(codes, torch.ones(4), torch.zeros(3), axis=0, name="w")
    assert torch.equal(
        dequantise_linear(codes + 3, torch.tensor(2.0), torch.tensor(1), axis=0, name="w"), torch.full((4, 3), 4.0)
    )


def test_a_graphs_own_dequantisation_is_done(tmp_path: Path) -> None:
    weight = np.array([[[[10]]], [[[-3]]]], np.int8)
    initialisers = [
        numpy_helper.from_array(weight, "conv.weight_quantized"),
        numpy_helper.from_array(np.array([0.5, 2.0], np.float32), "s"),
        numpy_helper.from_array(np.array([2, 0], np.int8), "z"),
        numpy_helper.from_array(np.array([1.0, -1.0], np.float32), "folded"),
        numpy_helper.from_array(np.array([1, 1], np.int64), "shape"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["conv.weight_quantized", "s", "z"], ["weight"], axis=0),
        helper.make_node("Conv", ["x", "weight", "folded"], ["y"], name="conv"),
    ]
    value = helper.make_tensor_value_info
    ends = [value("x", TensorProto.FLOAT, [1, 1, 2, 2])], [value("y", TensorProto.FLOAT, [1, 2, 2, 2])]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", *ends, initialisers)), tmp_path / "w.onnx")
    tensors, notes = read_onnx(tmp_path / "w.onnx")
    assert tensors["conv.weight"].flatten().tolist() == [4.0, -6.0]
    assert tensors["conv.bias"].tolist() == [1.0, -1.0]
    assert notes == (
        "1 tensors de-quantised from integers: rounding stays in them",
        "1 constants of the graph left out",
    )


def test_a_square_kernel_of_a_foreign_file_must_be_declared() -> None:
    tensors = {"a": torch.randn(2, 3), "b": torch.randn(4, 4)}
    shapes = {"a": torch.Size((3, 2)), "b": torch.Size((4, 4))}
    with pytest.raises(DataError, match=r"b \(4, 4\): none or IO"):
        to_torch_layout(tensors, shapes, {})
    kernels, notes = to_torch_layout(tensors, shapes, {"b": "IO"})
    assert torch.equal(kernels["b"], tensors["b"].T)
    assert notes == ("2 tensors turned from IO",)
    kernels, notes = to_torch_layout({"b": tensors["b"]}, shapes, {})  # nothing shows that the file is foreign
    assert torch.equal(kernels["b"], tensors["b"])
    assert not notes
    with pytest.raises(DataError, match="cannot be HWIO"):
        to_torch_layout(tensors, shapes, {"b": "HWIO"})


def test_depthwise_channels_run_over_the_multiplier_first() -> None:
    kernel = torch.arange(2 * 3.0).reshape(1, 1, 2, 3)  # two channels, three outputs of each
    assert TO_TORCH["HWCM"](kernel).flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert TO_TORCH["HWCM"](kernel).shape == (6, 1, 1, 1)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("from,to,transpose\na,b,HOWI\n", "HOWI"),
        ("from,to\na,b\na,c\n", "twice"),
        ("from,to\na,b\nc,b\n", "twice"),
        ("old,new\na,b\n", "column 'from'"),
    ],
)
def test_a_bad_name_map_is_refused(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "map.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        read_name_map(tmp_path / "map.csv")


@pytest.mark.parametrize("name", ["w.onnx", "w.npz", "w.safetensors", "w.pth"])
def test_a_broken_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x08\xff text")
    with pytest.raises(DataError):
        convert_weights(tmp_path / name, model=MODEL, rules=())


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.array([{"code": 1}], dtype=object))
    with pytest.raises(DataError, match="npz"):
        convert_weights(tmp_path / "w.npz", model=MODEL, rules=())


@pytest.mark.parametrize("length", [0, 40])
def test_an_empty_or_cut_npz_is_refused(length: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.ones(100))
    (tmp_path / "w.npz").write_bytes((tmp_path / "w.npz").read_bytes()[:length])
    with pytest.raises(DataError, match="npz"):
        convert_weights(tmp_path / "w.npz", model=MODEL, rules=())


def test_a_network_with_a_tensor_missing_is_refused(tmp_path: Path) -> None:
    tensors = dict(random_grader().backbone.state_dict())
    del tensors["bn1.weight"]
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"1 tensors of mobilenetv3_small_050 are missing: bn1\.weight"):
        convert_weights(tmp_path / "w.safetensors", model=MODEL, rules=())
    with pytest.raises(ParamsError, match=r"\.safetensors"):
        run_models("convert", tmp_path / "w.safetensors", "--model", MODEL, "--out", tmp_path / "w.pth")
