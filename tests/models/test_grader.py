"""Networks from timm names, with their own normalisation inside."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.grader import Grader, create_grader, normalisation, num_parameters
from dr_pipeline.models.timm_catalogue import timm_config
from dr_pipeline.params.candidate import model_family

pytestmark = pytest.mark.slow


def untrained(model: str, input_px: int) -> Grader:
    return create_grader(model, input_px=input_px, drop_rate=0.0, drop_path_rate=0.0)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("tf_efficientnet_lite0", "efficientnet"),
        ("efficientnet_b3.ra2_in1k", "efficientnet"),
        ("tf_efficientnetv2_s", "efficientnet"),
        ("resnet50", "resnet"),
        ("resnet10t", "resnet"),
        ("vit_base_patch16_224", "vit"),
        ("mobilenetv3_large_100", "mobilenet"),
    ],
)
def test_family(model: str, expected: str) -> None:
    assert model_family(model) == expected


def test_the_normalisation_is_the_models_own_and_in_the_graph() -> None:
    assert normalisation("tf_efficientnet_lite0").mean == (0.5, 0.5, 0.5)
    assert normalisation("efficientnet_b0").mean == (0.485, 0.456, 0.406)
    grader = create_grader("efficientnet_b0", input_px=32, drop_rate=0.0, drop_path_rate=0.0).eval()
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    by_hand = ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(grader(pixels), grader.backbone(by_hand), rtol=1e-4, atol=1e-5)


def test_a_transformer_takes_another_input_size() -> None:
    grader = create_grader("vit_tiny_patch16_224", input_px=64, drop_rate=0.0, drop_path_rate=0.0)
    assert grader(torch.zeros(2, 64, 64, 3, dtype=torch.uint8)).shape == (2, 5)


def test_options_reach_the_network() -> None:
    grader = create_grader("efficientnet_b0", input_px=32, drop_rate=0.3, drop_path_rate=0.1)
    assert grader.backbone.drop_rate == 0.3
    assert any(type(module).__name__ == "DropPath" for module in grader.modules())


def test_an_unknown_model_is_an_error_with_the_closest_names() -> None:
    with pytest.raises(ParamsError, match="efficientnet_lite0"):
        create_grader("efficientnet_lite_0", input_px=32, drop_rate=0.0, drop_path_rate=0.0)


@pytest.mark.parametrize("make", [lambda model: untrained(model, 32), normalisation])
def test_an_unknown_tag_is_an_error_with_the_known_ones_closest_first(make: Callable[[str], object]) -> None:
    with pytest.raises(ParamsError, match=r"has no weights 'resnet50\.a1_in2k'") as error:
        make("resnet50.a1_in2k")
    assert error.value.todo.startswith("choose from: resnet50.a1_in1k, resnet50.")
    assert error.value.todo.endswith("; or resnet50 for timm's default")


def test_a_former_name_is_refused_with_the_present_one() -> None:
    """timm still makes its network, but no longer says what its weights expect."""
    with pytest.raises(ParamsError, match=r"timm renamed it to vit_base_patch16_224\.augreg_in21k"):
        untrained("vit_base_patch16_224_in21k", 32)


def test_a_tag_of_a_name_that_has_none_is_an_error() -> None:
    with pytest.raises(ParamsError, match=r"write davit_giant, which has no tags"):
        timm_config("davit_giant.in1k")


@pytest.mark.parametrize(
    ("model", "input_px", "message"),
    [
        (
            "test_vit",
            100,
            "test_vit cannot be run at 100 px: Input height (100) should be divisible by patch size (16)",
        ),
        ("inception_v3", 64, "inception_v3 cannot be run at 64 px: Calculated padded input size"),  # too small
        ("nest_tiny", 100, "nest_tiny cannot be run at 100 px: First level blocks"),  # rejected when it is created
    ],
)
def test_an_input_that_the_network_cannot_take_is_an_error(model: str, input_px: int, message: str) -> None:
    with pytest.raises(ParamsError) as error:
        untrained(model, input_px)
    assert error.value.what.startswith(message)
    assert re.match(r"use the \d+ px that its weights expect", error.value.todo)


@pytest.mark.parametrize(
    ("model", "message"), [("qwen3_vit_88m_enc", "has no classifier"), ("mobilenetv5_300m_enc", "is not a classifier")]
)
def test_an_encoder_is_no_grader(model: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        untrained(model, 64)


class WithoutMeta(nn.Module):
    """Has an operation that the meta device does not know."""

    def forward(self, image: Tensor) -> Tensor:
        if image.is_meta:
            raise NotImplementedError
        return image.mean(dim=(1, 2, 3))[:, None].expand(-1, 5)


def test_a_network_that_cannot_be_looked_at_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timm.create_model", lambda *_, **__: WithoutMeta())
    assert untrained("resnet18", 33)(torch.zeros(2, 33, 33, 3, dtype=torch.uint8)).shape == (2, 5)


def test_looking_whether_an_input_can_be_taken_draws_no_random_number() -> None:
    """The weights of a seed are the same as without looking."""
    torch.manual_seed(7)
    plain = timm.create_model("test_efficientnet", num_classes=5, drop_rate=0.1)
    torch.manual_seed(7)
    grader = create_grader("test_efficientnet", input_px=48, drop_rate=0.1, drop_path_rate=0.0)
    assert all(
        torch.equal(a, b)
        for a, b in zip(plain.state_dict().values(), grader.backbone.state_dict().values(), strict=True)
    )


def test_the_parameter_count_is_timms() -> None:
    grader = create_grader("tf_efficientnet_lite0", input_px=32, drop_rate=0.0, drop_path_rate=0.0)
    assert num_parameters(grader) == num_parameters(timm.create_model("tf_efficientnet_lite0", num_classes=5))


def test_an_argument_that_the_network_does_not_take_is_an_error() -> None:
    with pytest.raises(ParamsError, match="drop_path_rate"):
        create_grader("legacy_xception", input_px=32, drop_rate=0.0, drop_path_rate=0.1)
