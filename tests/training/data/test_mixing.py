"""Mixup and CutMix: pixels and targets in the same share, the same for the same seed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.section import validate
from dr_pipeline.params.training import Mixing
from dr_pipeline.training.data.mixing import mix

MIXUP = Mixing(probability=1.0, mixup_alpha=0.4, cutmix_alpha=0.0)
CUTMIX = Mixing(probability=1.0, mixup_alpha=0.0, cutmix_alpha=1.0)
BOTH = Mixing(probability=1.0, mixup_alpha=0.4, cutmix_alpha=1.0)


def batch(photographs: int, side: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise photographs, and distributions over the grades."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (photographs, side, side + 2, 3), dtype=torch.uint8, generator=generator)
    return images, torch.rand(photographs, 5, generator=generator).softmax(1)


def flat(*levels: int, side: int = 16) -> Tensor:
    """One photograph of one level each."""
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, side, side, 3).contiguous()


def one_hot(*grades: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(grades), 5).float()


@pytest.mark.parametrize("params", [MIXUP, CUTMIX, BOTH])
def test_the_seed_alone_decides(params: Mixing) -> None:
    images, soft = batch(6)
    kept = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, first_soft = mix(images, [soft], params, seed=3)
    again, again_soft = mix(images, [soft], params, seed=3)
    assert torch.equal(first, again)
    assert torch.equal(first_soft[0], again_soft[0])
    others = [mix(images, [soft], params, seed=seed)[0] for seed in range(4, 12)]
    assert any(not torch.equal(first, other) for other in others)
    assert torch.equal(kept[0], torch.get_rng_state())
    assert np.array_equal(kept[1], np.random.get_state()[1])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(0, 10**6), st.sampled_from([MIXUP, CUTMIX, BOTH]))
def test_label_mass_is_kept(photographs: int, seed: int, params: Mixing) -> None:
    images, soft = batch(photographs)
    mixed, (target, teacher) = mix(images, [soft, soft.flip(0)], params, seed=seed)
    assert mixed.shape == images.shape
    assert mixed.dtype == torch.uint8
    for before, after in ((soft, target), (soft.flip(0), teacher)):
        assert torch.allclose(after.sum(1), torch.ones(photographs), atol=1e-5)
        assert torch.allclose(after.sum(0), before.sum(0), atol=1e-5)  # each photograph gives away what it takes
        assert (after >= 0).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 40))
def test_a_cutmix_pixel_is_one_of_the_two_and_the_share_is_the_area(seed: int, side: int) -> None:
    images, soft = mix(flat(10, 200, side=side), [one_hot(0, 4)], CUTMIX, seed=seed)
    assert set(images.unique().tolist()) <= {10, 200}
    assert soft[0][0, 0] == pytest.approx((images[0, ..., 0] == 10).float().mean().item(), abs=1e-6)
    assert soft[0][1, 4] == pytest.approx((images[1, ..., 0] == 200).float().mean().item(), abs=1e-6)
    pasted = (images[0, ..., 0] == 200).nonzero()
    if len(pasted):  # one rectangle, whole
        top, left = pasted.min(0).values
        bottom, right = pasted.max(0).values
        assert len(pasted) == (bottom - top + 1) * (right - left + 1)


def test_cutmix_pixels_stay_where_they_were() -> None:
    images, soft = batch(3, side=20)
    mixed, _ = mix(images, [soft], CUTMIX, seed=8)
    own, other = (mixed == images).all(-1), (mixed == images.roll(1, 0)).all(-1)
    assert (own | other).all()
    assert other.any()
    assert own.any()


def test_cutmix_shares_reach_from_almost_nothing_to_almost_all() -> None:
    """The area drawn is uniform with an alpha of 1; the border cuts some of it off."""
    shares = [mix(flat(0, 1), [one_hot(0, 4)], CUTMIX, seed=seed)[1][0][0, 0].item() for seed in range(300)]
    assert min(shares) < 0.2
    assert max(shares) > 0.95
    assert 0.5 < sum(shares) / len(shares) < 0.75


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_mixup_rounds_to_the_nearest_level(seed: int) -> None:
    images, soft = mix(flat(0, 255), [one_hot(0, 4)], MIXUP, seed=seed)
    share = soft[0][0, 0].item()
    assert images[0].unique().tolist() == [round(255 * (1 - share))]
    assert images[1].unique().tolist() == [round(255 * share)]
    assert soft[0][1, 4].item() == pytest.approx(share)


def test_equal_photographs_stay_what_they_are() -> None:
    for level in (0, 1, 127, 254, 255):
        assert all((mix(flat(level, level), [], BOTH, seed=seed)[0] == level).all() for seed in range(10))


def test_the_probability_is_that_of_a_batch() -> None:
    images, soft = batch(4)
    never = BOTH.model_copy(update={"probability": 0.0})
    assert all(mix(images, [soft], never, seed=seed)[0] is images for seed in range(20))
    third = BOTH.model_copy(update={"probability": 0.3})
    untouched = sum(mix(images, [soft], third, seed=seed)[0] is images for seed in range(500))
    assert 0.64 < untouched / 500 < 0.76


def test_both_kinds_come_equally_often() -> None:
    """A blend of 0 and 200 has a level between, a paste has none."""
    pasted = [set(mix(flat(0, 200), [], BOTH, seed=seed)[0].unique().tolist()) <= {0, 200} for seed in range(400)]
    assert 0.4 < sum(pasted) / 400 < 0.65


def test_a_photograph_alone_stays_alone() -> None:
    images, soft = batch(1)
    mixed, mixed_soft = mix(images, [soft], BOTH, seed=1)
    assert torch.equal(mixed, images)
    assert torch.allclose(mixed_soft[0], soft)


def test_mixing_without_a_kind_is_refused() -> None:
    nothing = {"probability": 0.5, "mixup_alpha": 0.0, "cutmix_alpha": 0.0}
    with pytest.raises(ParamsError, match="both alphas are 0"):
        validate(nothing, Mixing, where="training.mixing")
    off = validate(nothing | {"probability": 0.0}, Mixing, where="training.mixing")
    images, soft = batch(2)
    assert mix(images, [soft], off, seed=1)[0] is images


def _listed(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, list[Tensor]]:
    return pair[0], [pair[1]]


def test_grades_that_are_no_distributions_are_refused() -> None:
    images, soft = batch(2)
    with pytest.raises(ValueError, match="one-hot"):
        mix(images, [torch.tensor([0, 4])], BOTH, seed=1)
    with pytest.raises(ValueError, match="grades"):
        mix(images, [soft[:1]], BOTH, seed=1)
    with pytest.raises(ValueError, match="uint8"):
        mix(images.float(), [soft], BOTH, seed=1)
