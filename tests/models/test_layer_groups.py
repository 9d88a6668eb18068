"""Learning rates by depth, thawing, and activations computed twice."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.optim import param_groups_weight_decay
from torch import nn

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.grader import Grader, Normalisation, create_grader
from dr_pipeline.models.layer_groups import (
    block_distances,
    enable_gradient_checkpointing,
    freeze_batch_norm_statistics,
    parameter_groups,
    unfreeze_blocks,
)
from dr_pipeline.params.candidate import FineTuning

MODELS = (
    "efficientnet_lite0",
    "mobilenetv3_small_050",
    "resnet10t",
    "vit_tiny_patch16_224",
    "convnext_atto",
    "swin_tiny_patch4_window7_224",
)


def grader(model: str = "resnet10t", loss: str = "cross_entropy") -> Grader:
    with torch.device("meta"):
        return create_grader(model, input_px=64, drop_rate=0.0, drop_path_rate=0.0, loss=loss)


GRADERS = {model: grader(model, "coral") for model in MODELS}


@given(st.sampled_from(MODELS), st.floats(0.5, 1.0))
@settings(max_examples=20, deadline=None)
def test_every_parameter_is_in_one_group_with_its_depths_rate(model: str, layer_decay: float) -> None:
    network = GRADERS[model]
    groups = parameter_groups(network, learning_rate=0.1, weight_decay=0.05, layer_decay=layer_decay)
    placed = {id(p): group for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(placed) == len(list(network.parameters()))
    distances = block_distances(network)
    decayed = {
        id(p)
        for group in param_groups_weight_decay(network.backbone, no_weight_decay_list=exempt(network))
        for p in group["params"]
        if group["weight_decay"]
    }
    for name, parameter in network.named_parameters():
        group = placed[id(parameter)]
        assert group["lr"] == pytest.approx(0.1 * layer_decay ** distances[name])
        assert group["weight_decay"] == (0.05 if id(parameter) in decayed else 0.0)


def exempt(network: Grader) -> set[str]:
    return network.backbone.no_weight_decay() if hasattr(network.backbone, "no_weight_decay") else set()


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("vit_tiny_patch16_224", {"pos_embed", "cls_token"}),
        ("swin_tiny_patch4_window7_224", {"layers.0.blocks.0.attn.relative_position_bias_table"}),
    ],
)
def test_embeddings_do_not_decay(model: str, names: set[str]) -> None:
    network = GRADERS[model]
    groups = parameter_groups(network, learning_rate=0.1, weight_decay=0.05, layer_decay=1.0)
    plain = {id(p) for group in groups if not group["weight_decay"] for p in group["params"]}
    parameters = dict(network.backbone.named_parameters())
    assert all(parameters[name].ndim > 1 and id(parameters[name]) in plain for name in names)


@pytest.mark.parametrize("layer_decay", [1.0, 0.8])
@pytest.mark.parametrize("model", ["efficientnet_lite0", "resnet10t", "mobilenetv3_small_050"])
def test_of_convolutional_networks_the_number_of_axes_decides_in_the_networks_order(
    model: str, layer_decay: float
) -> None:
    """Trainings go on from checkpoints whose optimiser knows parameters by their place."""
    network = GRADERS[model]
    groups = parameter_groups(network, learning_rate=0.1, weight_decay=0.05, layer_decay=layer_decay)
    distances = block_distances(network) if layer_decay != 1.0 else {}
    keys = {id(p): (distances.get(name, 0), p.ndim <= 1) for name, p in network.named_parameters()}
    wanted = [[p for p in network.parameters() if keys[id(p)] == key] for key in sorted(set(keys.values()))]
    assert [[id(p) for p in group["params"]] for group in groups] == [[id(p) for p in one] for one in wanted]


@pytest.mark.parametrize("model", MODELS)
def test_distances_rise_without_a_gap_from_the_classifier_to_the_stem(model: str) -> None:
    distances = block_distances(GRADERS[model])
    assert set(distances.values()) == set(range(max(distances.values()) + 1))
    classifier = [
        n for n in distances if n.startswith(("backbone.classifier", "backbone.fc", "backbone.head.fc", "head."))
    ]
    assert {distances[name] for name in classifier} == {0}
    stem = next(name for name in distances if "stem" in name or "conv1" in name or "patch_embed" in name)
    assert distances[stem] > 3


def test_without_decay_there_are_two_groups_of_all_blocks() -> None:
    decayed, plain = sorted(
        parameter_groups(grader(), learning_rate=0.1, weight_decay=0.05, layer_decay=1.0),
        key=lambda group: -group["weight_decay"],
    )
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in plain["params"]} == {1}
    assert decayed["lr"] == plain["lr"] == 0.1


def learning(network: Grader) -> set[int]:
    distances = block_distances(network)
    return {distances[name] for name, parameter in network.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("model", MODELS)
def test_blocks_thaw_from_the_last_to_the_first(model: str) -> None:
    network, tuning = grader(model), FineTuning(layer_decay=1.0, frozen_epochs=2, thaw_epochs=3)
    num_blocks = max(block_distances(network).values())
    seen = []
    for epoch in range(7):
        unfreeze_blocks(network, epoch=epoch, fine_tuning=tuning)
        seen.append(learning(network))
    assert seen[0] == seen[1] == {0}
    for earlier, later in itertools.pairwise(seen[1:5]):
        assert earlier < later
        assert later == set(range(max(later) + 1))
    assert seen[4] == seen[5] == seen[6] == set(range(num_blocks + 1))


def test_nothing_frozen_is_everything_learning() -> None:
    network = grader()
    network.requires_grad_(requires_grad=False)
    unfreeze_blocks(network, epoch=0, fine_tuning=FineTuning(layer_decay=1.0, frozen_epochs=0, thaw_epochs=0))
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_frozen_statistics_do_not_move() -> None:
    network = create_grader("mobilenetv3_small_050", input_px=64, drop_rate=0.0, drop_path_rate=0.0)
    unfreeze_blocks(network, epoch=0, fine_tuning=FineTuning(layer_decay=1.0, frozen_epochs=1, thaw_epochs=0))
    before = {name: value.clone() for name, value in network.named_buffers()}
    pixels = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    network.train()
    freeze_batch_norm_statistics(network)
    network(pixels)
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    unfreeze_blocks(network, epoch=1, fine_tuning=FineTuning(layer_decay=1.0, frozen_epochs=1, thaw_epochs=0))
    network.train()
    freeze_batch_norm_statistics(network)
    network(pixels)
    assert not any(torch.equal(v, before[name]) for name, v in network.named_buffers() if name.endswith("running_mean"))


@pytest.mark.parametrize("model", ["mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_activations_computed_twice_change_no_gradient_and_no_statistic(model: str) -> None:
    pixels = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    networks = [create_grader(model, input_px=64, drop_rate=0.0, drop_path_rate=0.0) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    enable_gradient_checkpointing(networks[1])
    for network in networks:
        network.train()
        nn.functional.cross_entropy(network(pixels), torch.tensor([0, 1, 2, 3])).backward()
    for (name, plain), twice in zip(networks[0].named_parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(plain.grad, twice.grad, msg=name, rtol=1e-3, atol=1e-5)
    for (name, plain), twice in zip(networks[0].named_buffers(), networks[1].buffers(), strict=True):
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(plain, twice, msg=name)
    assert all(layer.momentum == 0.1 for layer in networks[1].modules() if isinstance(layer, nn.BatchNorm2d))


def test_what_timm_does_not_say_is_refused() -> None:
    network = grader("poolformer_s12")
    with pytest.raises(ParamsError, match="blocks"):
        parameter_groups(network, learning_rate=0.1, weight_decay=0.0, layer_decay=0.9)
    assert len(parameter_groups(network, learning_rate=0.1, weight_decay=0.0, layer_decay=1.0)) == 2
    plain = Grader(nn.Identity(), nn.Identity(), ("green",), Normalisation((0.5,), (0.5,)), input_px=32)
    with pytest.raises(ParamsError, match="gradient checkpointing"):
        enable_gradient_checkpointing(plain)
