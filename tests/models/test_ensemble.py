"""Views are exact turns; combinations are what they say; one network without turns stays itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dr_pipeline.models.ensemble import VIEWS, Ensemble, Stacked, Weighted, deployed_network, ensemble_state_dict, soup
from tests.factories.networks import random_grader


def test_a_soup_has_the_mean_of_the_weights_and_statistics() -> None:
    graders = [random_grader(seed=seed) for seed in (0, 1)]
    mixed, states = soup(graders), [grader.state_dict() for grader in graders]
    for name, tensor in mixed.state_dict().items():
        if tensor.is_floating_point():
            assert torch.allclose(tensor, (states[0][name] + states[1][name]) / 2, atol=1e-6)
    images = photographs(side=64)
    assert torch.allclose(soup([graders[0]] * 3)(images), graders[0](images), atol=1e-5)
    assert not torch.allclose(mixed(images), graders[0](images))


class Corner(nn.Module):
    """Logits from the top left pixel, so that every turn is seen."""

    def __init__(self, seed: int = 0, gain: float = 0.01) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(gain * torch.randn(3, 5, generator=generator))

    def forward(self, image: Tensor) -> Tensor:
        return image[:, 0, 0].float() @ self.weight


def photographs(count: int = 3, side: int = 4) -> Tensor:
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_views_are_numpys_quarter_turns() -> None:
    images = photographs()
    plain = images.numpy()
    for quarter, view in enumerate(("identity", "rotate_90", "rotate_180", "rotate_270")):
        assert np.array_equal(VIEWS[view](images).numpy(), np.rot90(plain, quarter, axes=(1, 2)))  # type: ignore[index]
    assert np.array_equal(VIEWS["mirror"](images).numpy(), plain[:, :, ::-1])


def test_a_view_and_back_is_the_photograph() -> None:
    images = photographs()
    for there, back in (("rotate_90", "rotate_270"), ("rotate_180", "rotate_180"), ("mirror", "mirror")):
        assert torch.equal(VIEWS[back](VIEWS[there](images)), images)  # type: ignore[index]


def test_the_mean_is_of_probabilities_over_networks_and_views() -> None:
    networks, images = [Corner(0), Corner(1)], photographs()
    views = ("identity", "mirror", "rotate_90")
    combined = Ensemble(networks, views, Weighted.uniform(6))(images)
    each = [network(VIEWS[view](images)).softmax(1) for network in networks for view in views]  # type: ignore[index]
    assert torch.allclose(combined.exp(), torch.stack(each).mean(0), atol=1e-6)
    assert torch.allclose(combined.exp().sum(1), torch.ones(3), atol=1e-6)


def test_opinions_stand_network_by_network() -> None:
    networks, images = [Corner(0), Corner(1)], photographs()
    opinions = Ensemble(networks, ("identity", "rotate_180"), Weighted.uniform(4)).member_log_probs(images)
    assert opinions.shape == (3, 4, 5)
    assert torch.allclose(opinions[:, 2], networks[1](images).log_softmax(1))
    assert torch.allclose(opinions[:, 1], networks[0](VIEWS["rotate_180"](images)).log_softmax(1))


def test_all_four_turns_do_not_see_how_the_photograph_was_held() -> None:
    turned = Ensemble([Corner()], ("identity", "rotate_90", "rotate_180", "rotate_270"), Weighted.uniform(4))
    images = photographs()
    assert torch.allclose(turned(images), turned(VIEWS["rotate_90"](images)), atol=1e-6)
    assert not torch.allclose(Corner()(images), Corner()(VIEWS["rotate_90"](images)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2), st.floats(0.001, 1e4))
def test_all_weight_on_one_opinion_is_that_opinion_and_always_finite(chosen: int, gain: float) -> None:
    opinions = (gain * torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(2))).log_softmax(2)
    weights = [float(number == chosen) for number in range(3)]
    combined = Weighted(weights)(opinions)
    assert torch.isfinite(combined).all()
    assert torch.allclose(combined.exp(), opinions[:, chosen].exp(), atol=1e-6)


def test_stacking_with_equal_shares_is_the_geometric_mean() -> None:
    opinions = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(3)).log_softmax(2)
    stacked = Stacked(torch.eye(5).repeat(1, 3) / 3, torch.zeros(5))
    assert torch.allclose(stacked(opinions), opinions.mean(1).log_softmax(1), atol=1e-5)


def test_stacking_is_finite_where_a_member_rules_a_grade_out() -> None:
    opinions = torch.tensor([[[0.0, -1e4, -1e4, -1e4, -1e4], [-1e4, 0.0, -1e4, -1e4, -1e4]]])
    assert torch.isfinite(Stacked(torch.eye(5).repeat(1, 2) / 2, torch.zeros(5))(opinions)).all()


def test_one_network_without_turns_stays_itself() -> None:
    network = Corner()
    assert deployed_network([network], ("identity",), Weighted.uniform(1)) is network
    assert isinstance(deployed_network([network], ("mirror",), Weighted.uniform(1)), Ensemble)
    assert isinstance(deployed_network([network, network], ("identity",), Weighted.uniform(2)), Ensemble)


def test_tensors_of_one_network_have_its_own_names_and_of_several_a_number() -> None:
    assert list(ensemble_state_dict([Corner()])) == ["weight"]
    two = ensemble_state_dict([Corner(0), Corner(1)])
    assert list(two) == ["members.0.weight", "members.1.weight"]
    assert not torch.equal(*two.values())


@pytest.mark.parametrize("count", [1, 4])
def test_facts_are_plain_values(count: int) -> None:
    assert Weighted.uniform(count).to_dict() == {"weights": pytest.approx([1 / count] * count)}
    facts = Stacked(torch.eye(5).repeat(1, count), torch.zeros(5)).to_dict()
    assert np.array(facts["coefficients"]).shape == (5, 5 * count)
