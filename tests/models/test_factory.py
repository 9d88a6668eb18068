"""Networks from timm names, with their own normalisation inside."""

import numpy as np
import pytest
import timm
import torch

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.factory import create_grader, family, normalisation, num_parameters


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
    assert family(model) == expected


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


def test_the_parameter_count_is_timms() -> None:
    grader = create_grader("tf_efficientnet_lite0", input_px=32, drop_rate=0.0, drop_path_rate=0.0)
    assert num_parameters(grader) == num_parameters(timm.create_model("tf_efficientnet_lite0", num_classes=5))


def test_an_argument_that_the_network_does_not_take_is_an_error() -> None:
    with pytest.raises(ParamsError, match="drop_path_rate"):
        create_grader("legacy_xception", input_px=32, drop_rate=0.0, drop_path_rate=0.1)
