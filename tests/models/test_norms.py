"""Normalisation layers exchanged, hidden layers before the classifier."""

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d, GroupNormAct, LayerNorm2d, LayerNormAct2d
from torch import nn

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.classifier import classifier_names
from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.norms import NormKind, replace_norms
from dr_pipeline.models.weights.match_state_dict import match_state_dict
from dr_pipeline.params.candidate import Network

OLD_AND_NEW = [
    ("mobilenetv3_small_050", "group", nn.BatchNorm2d, GroupNormAct),
    ("mobilenetv3_small_050", "layer", nn.BatchNorm2d, LayerNormAct2d),
    ("resnet10t", "group", nn.BatchNorm2d, nn.GroupNorm),
    ("convnext_atto", "batch", LayerNorm2d, nn.BatchNorm2d),
    ("poolformer_s12", "batch", nn.GroupNorm, nn.BatchNorm2d),
]


@pytest.mark.parametrize(("model", "kind", "old", "new"), OLD_AND_NEW)
def test_no_layer_of_the_old_kind_is_left_and_the_network_learns(
    model: str, kind: NormKind, old: type[nn.Module], new: type[nn.Module]
) -> None:
    network = Network(channels=("red", "green", "blue"), norm=kind, head="linear")
    grader = create_grader(model, input_px=64, drop_rate=0.0, drop_path_rate=0.0, network=network)
    layers = list(grader.backbone.modules())
    assert not any(isinstance(layer, old) for layer in layers)
    assert any(isinstance(layer, new) for layer in layers)
    pixels = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    grades = torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.AdamW(grader.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        loss = nn.functional.cross_entropy(grader(pixels), grades)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_activation_names_and_scales_stay() -> None:
    before = timm.create_model("mobilenetv3_small_050", num_classes=5)
    nn.init.constant_(before.bn1.weight, 0.5)
    activation = before.bn1.act
    names = {name for name, _ in before.named_parameters()}
    count = replace_norms(before, "group", model="mobilenetv3_small_050")
    assert count == 34
    assert before.bn1.act is activation
    assert torch.equal(before.bn1.weight, torch.full_like(before.bn1.weight, 0.5))
    assert {name for name, _ in before.named_parameters()} == names


def test_layers_of_the_kind_stay() -> None:
    network = timm.create_model("mobilenetv3_small_050", num_classes=5)
    first = network.bn1
    assert replace_norms(network, "batch", model="mobilenetv3_small_050") == 0
    assert network.bn1 is first
    assert isinstance(first, BatchNormAct2d)


@pytest.mark.parametrize("model", ["vit_tiny_patch16_224", "levit_128s", "convnext_pico"])
def test_norms_of_tokens_are_refused_or_left(model: str) -> None:
    network = timm.create_model(model, num_classes=5)
    if model == "vit_tiny_patch16_224":
        assert replace_norms(network, "layer", model=model) == 0
    if model == "convnext_pico":
        assert replace_norms(network, "group", model=model) > 0
    else:
        with pytest.raises(ParamsError, match="tokens"):
            replace_norms(network, "group", model=model)


def test_a_network_without_norms_is_refused() -> None:
    with pytest.raises(ParamsError, match="no normalisation"):
        replace_norms(nn.Sequential(nn.Conv2d(3, 8, 1)), "group", model="plain")


def test_weights_with_running_statistics_fit_exchanged_norms() -> None:
    network = Network(channels=("red", "green", "blue"), norm="group", head="linear")
    grader = create_grader("resnet10t", input_px=32, drop_rate=0.0, drop_path_rate=0.0, network=network)
    published = timm.create_model("resnet10t").state_dict()
    fitted = match_state_dict(published, grader.backbone, where="w")
    assert not fitted.missing
    assert not [name for name in fitted.unexpected if "running" in name]
    assert fitted.notes == ("running statistics of exchanged normalisation left out (28 tensors)",)


@pytest.mark.parametrize("model", ["resnet10t", "convnext_atto", "vit_tiny_patch16_224"])
def test_a_hidden_layer_before_the_classifier(model: str) -> None:
    network = Network(channels=("red", "green", "blue"), norm="own", head="mlp")
    grader = create_grader(model, input_px=64, drop_rate=0.2, drop_path_rate=0.0, network=network)
    last = grader.backbone.get_submodule(classifier_names(grader.backbone)[0])
    first, out = last[0], last[3]
    assert (first.out_features, last[2].p) == (first.in_features // 2, 0.2)
    assert out.out_features == 5
    assert grader(torch.zeros(2, 64, 64, 3, dtype=torch.uint8)).shape == (2, 5)
    plain = timm.create_model(model, img_size=64) if model.startswith("vit") else timm.create_model(model)
    assert not match_state_dict(plain.state_dict(), grader.backbone, where="w").missing


def test_a_classifier_of_two_layers_is_refused() -> None:
    network = Network(channels=("red", "green", "blue"), norm="own", head="mlp")
    with pytest.raises(ParamsError, match="one linear layer"):
        create_grader(
            "deit_tiny_distilled_patch16_224", input_px=32, drop_rate=0.0, drop_path_rate=0.0, network=network
        )
