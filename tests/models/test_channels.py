"""Planes inside the graph, and first convolutions fitted to them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.models.channels import RGB, InputChannels, adapt_first_convolution, first_convolution_names
from dr_pipeline.models.grader import Grader, create_grader, grader_from_spec, normalisation
from dr_pipeline.models.weights.match_state_dict import match_state_dict
from dr_pipeline.params.candidate import Channel, Network

PLANES: tuple[Channel, ...] = ("red", "green", "blue", "local_contrast")


def network(*channels: Channel) -> Network:
    return Network(channels=channels, norm="own", head="linear")


def grader(model: str, *channels: Channel, px: int = 32) -> Grader:
    created = create_grader(model, input_px=px, drop_rate=0.0, drop_path_rate=0.0, network=network(*channels))
    return created.eval()


def photographs(seed: int = 1, px: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (2, px, px, 3), dtype=np.uint8)


def test_channels_have_the_given_order() -> None:
    pixels = torch.from_numpy(photographs()).permute(0, 3, 1, 2).float()
    selected = InputChannels(("blue", "red"), input_px=32)(pixels)
    assert torch.equal(selected, pixels[:, [2, 0]])
    assert InputChannels(RGB, input_px=32)(pixels) is pixels


def test_a_plane_named_twice_is_refused() -> None:
    with pytest.raises(ParamsError, match="twice"):
        InputChannels(("green", "green"), input_px=32)


def by_hand(canvas: NDArray[np.uint8], radius: int) -> NDArray[np.float64]:
    """Local contrast pixel by pixel."""
    seen = canvas.max(axis=2) > 12
    green = canvas[..., 1].astype(float)
    enhanced = np.full(green.shape, 128.0)
    for y, x in np.argwhere(seen):
        window = np.s_[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
        enhanced[y, x] = np.clip(128 + 4 * (green[y, x] - green[window][seen[window]].mean()), 0, 255)
    return enhanced


@given(seed=st.integers(0, 2**32 - 1), side=st.integers(40, 90))
@settings(max_examples=5, deadline=None)
def test_local_contrast_is_the_difference_to_the_mean_of_the_retina_around(seed: int, side: int) -> None:
    canvas = np.random.default_rng(seed).integers(100, 140, (side, side, 3), dtype=np.uint8)
    y, x = np.ogrid[:side, :side]
    canvas[(y - side / 2) ** 2 + (x - side / 2) ** 2 > (side / 2) ** 2] = 0
    channels = InputChannels(("local_contrast",), input_px=side)
    enhanced = channels(torch.from_numpy(canvas).permute(2, 0, 1)[None].float())
    np.testing.assert_allclose(enhanced[0, 0].numpy(), by_hand(canvas, channels.radius), atol=2e-3)


def test_local_contrast_of_an_even_retina_and_of_black_is_mid_grey() -> None:
    canvas = torch.zeros(1, 3, 64, 64)
    canvas[:, :, 16:48, 16:48] = 90.0
    enhanced = InputChannels(("local_contrast",), input_px=64)(canvas)
    torch.testing.assert_close(enhanced, torch.full_like(enhanced, 128.0), atol=1e-3, rtol=0)


def test_each_plane_has_its_own_normalisation() -> None:
    norm = normalisation("efficientnet_b0", ("green", "local_contrast"))
    assert norm.mean == pytest.approx((0.456, 128 / 255))
    assert norm.std == pytest.approx((0.224, 0.224))


def loaded(target: Grader, source: Grader) -> Grader:
    fitted = match_state_dict(source.backbone.state_dict(), target.backbone, where="source", channels=target.channels)
    assert not fitted.missing
    target.backbone.load_state_dict(fitted.tensors, strict=False)
    return target


def features(of: Grader, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        return of.backbone.forward_features(of.normalise(pixels))


# Lite0 has one mean for all planes, so the features are the same; with ImageNet's the photograph is taken by the
# green plane's mean, which moves what comes out by a little.
@pytest.mark.parametrize(("model", "tolerance"), [("tf_efficientnet_lite0", 1e-4), ("vit_tiny_patch16_224", 1e-4)])
def test_a_grey_photograph_gives_one_plane_the_features_of_three(model: str, tolerance: float) -> None:
    grey = torch.from_numpy(np.repeat(photographs()[..., :1], 3, axis=3))
    rgb = create_grader(model, input_px=32, drop_rate=0.0, drop_path_rate=0.0).eval()
    one = loaded(grader(model, "green"), rgb)
    torch.testing.assert_close(features(one, grey), features(rgb, grey), rtol=tolerance, atol=tolerance)


def test_planes_that_the_weights_know_keep_their_kernels_and_new_ones_take_the_mean() -> None:
    weight = torch.randn(4, 3, 3, 3)
    adapted = adapt_first_convolution(weight, RGB, PLANES)
    assert adapted.shape == (4, 4, 3, 3)
    torch.testing.assert_close(adapted[:, :3], weight * 3 / 4)
    torch.testing.assert_close(adapted[:, 3], weight.mean(dim=1) * 3 / 4)
    torch.testing.assert_close(adapt_first_convolution(weight, RGB, ("blue", "green", "red")), weight.flip(1))
    assert adapt_first_convolution(weight, RGB, RGB) is weight


def test_blocks_of_space_to_depth_are_adapted_one_by_one() -> None:
    weight = torch.randn(2, 12, 1, 1)
    adapted = adapt_first_convolution(weight, RGB, ("green",))
    torch.testing.assert_close(adapted[:, 1], weight[:, 3:6].sum(dim=1))
    with pytest.raises(ValueError, match="3 channels"):
        adapt_first_convolution(torch.randn(2, 4, 1, 1), RGB, ("green",))


@given(st.permutations(PLANES), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_weights_go_through_more_planes_and_back(order: list[Channel], count: int) -> None:
    weight = torch.randn(2, 3, 1, 1)
    wide = adapt_first_convolution(weight, RGB, order)
    torch.testing.assert_close(adapt_first_convolution(wide, order, RGB), weight)
    assert adapt_first_convolution(weight, RGB, order[:count]).shape[1] == count


def test_exchanged_planes_are_told_in_a_note_and_own_weights_stay() -> None:
    source, target = grader("resnet10t", *RGB), grader("resnet10t", "green", "local_contrast", "blue")
    (name,) = first_convolution_names(target.backbone)
    fitted = match_state_dict(source.backbone.state_dict(), target.backbone, where="source", channels=target.channels)
    assert "first convolution made for green, local_contrast, blue (1 tensors)" in fitted.notes
    assert torch.equal(fitted.tensors[name][:, 2], source.backbone.state_dict()[name][:, 2])
    one = grader("resnet10t", "green")
    same = match_state_dict(one.backbone.state_dict(), one.backbone, where="source", channels=one.channels)
    assert torch.equal(same.tensors[name], one.backbone.state_dict()[name])
    assert not same.notes


def test_another_number_of_planes_is_refused_without_a_word_on_which() -> None:
    five = create_grader("resnet10t", input_px=32, drop_rate=0.0, drop_path_rate=0.0, network=network(*PLANES))
    with pytest.raises(DataError, match=r"conv1\.0\.weight \(24, 4, 3, 3\) for \(24, 3, 3, 3\)"):
        match_state_dict(five.backbone.state_dict(), grader("resnet10t", *RGB).backbone, where="source")


def test_a_specification_gives_the_network_back() -> None:
    spec = {
        "model": "resnet10t",
        "input_px": 32,
        "network": {"channels": ["green", "local_contrast"], "norm": "group", "head": "mlp"},
        "loss": "corn",
    }
    restored = grader_from_spec(spec)
    pixels = torch.from_numpy(photographs())
    assert restored.outputs(pixels).shape == (2, 4)
    assert restored(pixels).shape == (2, 5)
    assert restored.channels == ("green", "local_contrast")
    with pytest.raises(DataError, match="network"):
        grader_from_spec({"model": "resnet10t", "input_px": 32})
    with pytest.raises(DataError, match="channels"):
        grader_from_spec(spec | {"network": {"channels": ["infrared"], "norm": "own", "head": "linear"}})
