"""Checkpoints that differ from the network: matched and reported, or refused."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed, resize_rel_pos_bias_table
from timm.models.vision_transformer_sam import VisionTransformerSAM
from torch import Tensor

from dr_pipeline.errors import DataError
from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.models.weights.match_state_dict import first_names, match_state_dict

MODEL = "test_resnet"  # timm's own small ones: 0.4 and 0.3 million parameters
VIT = "test_vit"
HYBRID = "test_coatnet"


def grader(model: str = MODEL, input_px: int = 32) -> Grader:
    return create_grader(model, input_px=input_px, drop_rate=0.0, drop_path_rate=0.0)


def state(source: Grader) -> dict[str, Tensor]:
    return dict(source.backbone.state_dict())


def load(target: Grader, tensors: dict[str, Tensor], path: Path, model: str = MODEL) -> str:
    save_file(tensors, path)
    return initialise_weights(target, model=model, weights=f"file:{path}")


def changes(line: str) -> list[str]:
    """What follows the file's name and its hash."""
    return line.split(", ")[2:]


def same(a: Grader, b: Grader) -> bool:
    """All but the classifier."""
    ours, theirs = state(a), state(b)
    return all(torch.equal(ours[name], theirs[name]) for name in ours if not name.startswith("fc."))


@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.model."]
)
def test_wrappers_prefixes_are_taken_off_in_any_order(tmp_path: Path, prefix: str) -> None:
    source, target = grader(), grader()
    line = load(target, {prefix + name: tensor for name, tensor in state(source).items()}, tmp_path / "w.safetensors")
    assert same(source, target)
    assert changes(line) == []


def test_a_graders_own_file_starts_another_training(tmp_path: Path) -> None:
    source, target = grader(), grader()
    write_tensors(source.state_dict(), tmp_path / "model.safetensors")
    initialise_weights(target, model=MODEL, weights=f"file:{tmp_path / 'model.safetensors'}")
    assert same(source, target)


def test_one_name_twice_is_refused() -> None:
    source = grader()
    twice = {**state(source), "module.conv1.0.weight": torch.zeros(1)}
    with pytest.raises(DataError, match=r"two tensors are named 'conv1\.0\.weight'"):
        match_state_dict(twice, source.backbone, where="w")


def test_averaged_weights_of_a_training_checkpoint_are_the_ones_loaded(tmp_path: Path) -> None:
    plain, averaged, target = grader(), grader(), grader()
    torch.save({"epoch": 9, "state_dict": state(plain), "state_dict_ema": state(averaged)}, tmp_path / "last.pth")
    initialise_weights(target, model=MODEL, weights=f"file:{tmp_path / 'last.pth'}")
    assert same(averaged, target)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_cast_and_reported(tmp_path: Path, precision: torch.dtype) -> None:
    source, target = grader(), grader()
    stored = {name: t.to(precision) if t.is_floating_point() else t for name, t in state(source).items()}
    line = load(target, stored, tmp_path / "w.safetensors")
    weight = target.backbone.conv1[0].weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, stored["conv1.0.weight"].float())
    assert f"{str(precision).removeprefix('torch.')} cast to float32" in line


@pytest.mark.parametrize("precision", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantised_codes_do_not_pass_for_weights(precision: torch.dtype) -> None:
    source = grader()
    codes = {**state(source), "conv1.0.weight": source.backbone.conv1[0].weight.detach().to(precision)}
    with pytest.raises(DataError, match=r"conv1\.0\.weight.*quantised"):
        match_state_dict(codes, source.backbone, where="w")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("precision", [torch.float16, torch.float32])
def test_what_is_not_finite_is_named(value: float, precision: torch.dtype) -> None:
    source = grader()
    broken = state(source)["layer1.0.bn1.running_var"].clone().to(precision)
    broken[3] = value
    with pytest.raises(DataError, match=r"layer1\.0\.bn1\.running_var.*NaN or infinity"):
        match_state_dict({**state(source), "layer1.0.bn1.running_var": broken}, source.backbone, where="w")


def test_a_number_beyond_float32_is_named() -> None:
    source = grader()
    huge = torch.full_like(source.backbone.conv1[0].weight, 1e300, dtype=torch.float64)
    with pytest.raises(DataError, match=r"conv1\.0\.weight.*as float32"):
        match_state_dict({**state(source), "conv1.0.weight": huge}, source.backbone, where="w")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_weights_that_were_never_filled_are_refused(value: float) -> None:
    tensors = {name: torch.full_like(tensor, value) for name, tensor in state(grader()).items()}
    with pytest.raises(DataError, match=r"weights are one number throughout.*never filled"):
        match_state_dict(tensors, grader().backbone, where="w")


def test_one_layer_of_zeros_is_taken() -> None:
    tensors = state(grader())
    tensors["layer1.0.conv1.weight"] = torch.zeros_like(tensors["layer1.0.conv1.weight"])
    assert match_state_dict(tensors, grader().backbone, where="w").summary() == ""


def test_a_partial_load_is_logged_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, target = grader(), grader()
    own = target.backbone.conv1[0].weight.clone()
    tensors = state(source)
    del tensors["conv1.0.weight"]
    line = load(target, {**tensors, "extra.weight": torch.ones(2)}, tmp_path / "w.safetensors")
    assert "1 tensors missing, 1 not expected" in line
    assert "of the network loaded" in line
    assert "1 tensors missing: conv1.0.weight" in caplog.text
    assert "1 tensors not expected: extra.weight" in caplog.text
    assert torch.equal(target.backbone.conv1[0].weight, own)
    assert torch.equal(target.backbone.layer4[0].conv1.weight, source.backbone.layer4[0].conv1.weight)


def test_counters_of_batch_normalisation_may_be_absent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, target = grader(), grader()
    older = {name: tensor for name, tensor in state(source).items() if not name.endswith("num_batches_tracked")}
    assert changes(load(target, older, tmp_path / "w.safetensors")) == []
    assert not caplog.messages
    assert same(source, target)


def test_too_small_a_share_is_an_error_with_ten_names_and_leaves_the_network_alone(tmp_path: Path) -> None:
    source, target = grader(), grader()
    before = {name: tensor.clone() for name, tensor in state(target).items()}
    part = {name: tensor for name, tensor in state(source).items() if not name.startswith("layer4")}
    absent = [name for name in state(source) if name.startswith("layer4") and not name.endswith("tracked")]
    with pytest.raises(DataError, match="at least 95%") as error:
        load(target, part, tmp_path / "w.safetensors")
    assert f"{len(absent)} tensors missing" in error.value.what
    assert [name in error.value.what for name in absent] == [True] * 10 + [False] * (len(absent) - 10)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(target).items())


def test_a_deeper_sibling_is_not_taken_for_the_network() -> None:
    deeper = timm.create_model("resnet18", num_classes=3).state_dict()
    with torch.device("meta"):
        own = timm.create_model("resnet34", num_classes=3).state_dict()
    assert all(own[name].shape == tensor.shape for name, tensor in deeper.items())  # nothing else distinguishes them
    deeper |= {name: torch.zeros(own[name].shape) for name in own if name not in deeper}
    with pytest.raises(DataError, match=r"100\.0% of the network and 5\d\.\d% of the file"):
        match_state_dict(deeper, timm.create_model("resnet18", num_classes=3), where="w")


def test_another_shape_is_refused_however_small() -> None:
    source = grader()
    with pytest.raises(DataError, match=r"1 of another shape: bn1\.bias \(7,\) for (.|\n)*or the input_px"):
        match_state_dict({**state(source), "bn1.bias": torch.zeros(7)}, source.backbone, where="w")


def test_another_number_of_classes_is_left_out(tmp_path: Path) -> None:
    target = grader()
    published = timm.create_model(MODEL, num_classes=1000)
    before = target.backbone.fc.weight.clone()
    line = load(target, dict(published.state_dict()), tmp_path / "w.safetensors")
    assert torch.equal(target.backbone.fc.weight, before)
    assert torch.equal(target.backbone.conv1[0].weight, published.conv1[0].weight)
    assert changes(line) == []


@pytest.mark.parametrize("input_px", [64, 96])
def test_position_embeddings_are_resampled_by_timm(tmp_path: Path, input_px: int) -> None:
    source, target = grader(VIT, input_px=48), grader(VIT, input_px)
    side = input_px // 16
    line = load(target, state(source), tmp_path / "w.safetensors", VIT)
    expected = resample_abs_pos_embed(source.backbone.pos_embed, [side, side], num_prefix_tokens=1)
    assert torch.equal(target.backbone.pos_embed, expected)
    assert torch.equal(target.backbone.pos_embed[:, 0], source.backbone.pos_embed[:, 0])  # the class token's own
    assert "position embeddings resampled (1 tensors)" in line
    assert target(torch.zeros(1, input_px, input_px, 3, dtype=torch.uint8)).isfinite().all()


def test_an_embedding_that_no_square_grid_explains_is_refused() -> None:
    target = grader(VIT, 64)
    with pytest.raises(DataError, match="pos_embed"):
        match_state_dict({**state(target), "pos_embed": torch.zeros(1, 13, 64)}, target.backbone, where="w")


def test_a_grid_that_the_network_does_not_declare_is_resampled() -> None:
    options = {"embed_dim": 16, "stages": (1, 1, 1, 1), "num_heads": 1, "num_classes": 5}
    source = timm.create_model("hiera_tiny_224", img_size=(64, 64), **options)
    target = timm.create_model("hiera_tiny_224", img_size=(128, 128), **options)
    match = match_state_dict(source.state_dict(), target, where="w")
    assert torch.equal(
        match.tensors["pos_embed"], resample_abs_pos_embed(source.pos_embed, [32, 32], num_prefix_tokens=0)
    )


def test_an_embedding_kept_as_a_picture_is_resampled() -> None:
    source, target = (VisionTransformerSAM(img_size=side, embed_dim=16, depth=1, num_heads=2) for side in (32, 64))
    target.pretrained_cfg = source.pretrained_cfg = {"classifier": "head.fc"}
    torch.nn.init.constant_(source.pos_embed, 0.5)
    match = match_state_dict(source.state_dict(), target, where="w")
    torch.testing.assert_close(match.tensors["pos_embed"], torch.full((1, 4, 4, 16), 0.5))


def test_relative_bias_tables_follow_the_window() -> None:
    options = {"embed_dim": 24, "depths": (1, 1), "num_heads": (2, 2), "num_classes": 5}
    source = timm.create_model("swin_tiny_patch4_window7_224", img_size=56, window_size=7, **options)
    target = timm.create_model("swin_tiny_patch4_window7_224", img_size=64, window_size=8, **options)
    match = match_state_dict(source.state_dict(), target, where="w")
    target.load_state_dict(match.tensors, strict=False)
    assert match.loaded_fraction == 1
    assert match.missing == match.unexpected == ()
    assert match.notes == ("position embeddings resampled (2 tensors)",)
    assert target(torch.zeros(1, 3, 64, 64)).isfinite().all()


@pytest.mark.parametrize("input_px", [96, 128])
def test_a_hybrids_bias_tables_are_resampled_for_another_input(tmp_path: Path, input_px: int) -> None:
    """CoAtNet: convolutions, then attention over windows that follow the input's size."""
    source, target = grader(HYBRID, 64), grader(HYBRID, input_px)
    tables = [name for name in state(source) if name.endswith("relative_position_bias_table")]
    for name in tables:
        torch.nn.init.normal_(source.backbone.get_parameter(name))
    line = load(target, state(source), tmp_path / "w.safetensors", HYBRID)
    assert changes(line) == [f"position embeddings resampled ({len(tables)} tensors)"]
    ours, theirs = state(target), state(source)
    for name in tables:
        window = target.backbone.get_submodule(name.rpartition(".")[0]).window_size
        expected = resize_rel_pos_bias_table(theirs[name], new_window_size=window, new_bias_shape=ours[name].shape)
        assert torch.equal(ours[name], expected)
        assert ours[name].shape != theirs[name].shape
    body = [name for name in ours if name not in tables and not name.startswith("head.fc.")]
    assert all(torch.equal(ours[name], theirs[name]) for name in body)
    assert target.eval()(torch.zeros(1, input_px, input_px, 3, dtype=torch.uint8)).isfinite().all()


@pytest.mark.parametrize(
    ("model", "tensor"),
    [("efficientformerv2_s0", "attention_biases"), ("botnet26t_256", "height_rel"), ("pit_ti_224", "pos_embed")],
)
def test_embeddings_that_timm_cannot_resample_are_refused_in_a_clear_sentence(model: str, tensor: str) -> None:
    source, target = grader(model, 64), grader(model, 96)
    with pytest.raises(DataError, match=f"another input size, .*cannot be resampled: .*{tensor}") as error:
        match_state_dict(state(source), target.backbone, where="w")
    assert "another architecture" not in error.value.what
    assert error.value.todo.startswith("set input_px to the size that the weights were trained with")


def test_ten_names_are_listed() -> None:
    assert first_names([]) == ""
    assert first_names("abcdefghij") == "a, b, c, d, e, f, g, h, i, j"
    assert first_names("abcdefghijkl").endswith("j and 2 more")
