"""Batches: mixup and CutMix, the device where they run, and the division into microbatches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric import Fabric
from torch import Tensor

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.section import validate
from dr_pipeline.params.training import Mixing
from dr_pipeline.training import loop
from dr_pipeline.training.data.batch import Batch, BatchBuilder, mix, split_microbatches
from dr_pipeline.training.data.sampler import EpochBatchSampler
from tests.factories.training import CANDIDATE, PARAMS, photographs, section, train

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
def test_mixing_depends_on_the_seed_alone(params: Mixing) -> None:
    images, soft = batch(6)
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, first_soft = mix(images, [soft], params, seed=3)
    again, again_soft = mix(images, [soft], params, seed=3)
    assert torch.equal(first, again)
    assert torch.equal(first_soft[0], again_soft[0])
    others = [mix(images, [soft], params, seed=seed)[0] for seed in range(4, 12)]
    assert any(not torch.equal(first, other) for other in others)
    assert torch.equal(state[0], torch.get_rng_state())
    assert np.array_equal(state[1], np.random.get_state()[1])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(0, 10**6), st.sampled_from([MIXUP, CUTMIX, BOTH]))
def test_label_mass_is_preserved(photographs: int, seed: int, params: Mixing) -> None:
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
def test_cutmix_weights_equal_the_pasted_area(seed: int, side: int) -> None:
    images, soft = mix(flat(10, 200, side=side), [one_hot(0, 4)], CUTMIX, seed=seed)
    assert set(images.unique().tolist()) <= {10, 200}
    assert soft[0][0, 0] == pytest.approx((images[0, ..., 0] == 10).float().mean().item(), abs=1e-6)
    assert soft[0][1, 4] == pytest.approx((images[1, ..., 0] == 200).float().mean().item(), abs=1e-6)
    pasted = (images[0, ..., 0] == 200).nonzero()
    if len(pasted):  # one rectangle, whole
        top, left = pasted.min(0).values
        bottom, right = pasted.max(0).values
        assert len(pasted) == (bottom - top + 1) * (right - left + 1)


def test_cutmix_pixels_keep_their_position() -> None:
    images, soft = batch(3, side=20)
    mixed, _ = mix(images, [soft], CUTMIX, seed=8)
    own, other = (mixed == images).all(-1), (mixed == images.roll(1, 0)).all(-1)
    assert (own | other).all()
    assert other.any()
    assert own.any()


def test_cutmix_weights_cover_almost_the_whole_range() -> None:
    """The area drawn is uniform with an alpha of 1; the border clips some of it."""
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


def test_mixing_equal_photographs_changes_nothing() -> None:
    for level in (0, 1, 127, 254, 255):
        assert all((mix(flat(level, level), [], BOTH, seed=seed)[0] == level).all() for seed in range(10))


def test_the_probability_is_that_of_a_batch() -> None:
    images, soft = batch(4)
    never = BOTH.model_copy(update={"probability": 0.0})
    assert all(mix(images, [soft], never, seed=seed)[0] is images for seed in range(20))
    third = BOTH.model_copy(update={"probability": 0.3})
    untouched = sum(mix(images, [soft], third, seed=seed)[0] is images for seed in range(500))
    assert 0.64 < untouched / 500 < 0.76


def test_mixup_and_cutmix_are_equally_likely() -> None:
    """A blend of 0 and 200 has a level between, a paste has none."""
    pasted = [set(mix(flat(0, 200), [], BOTH, seed=seed)[0].unique().tolist()) <= {0, 200} for seed in range(400)]
    assert 0.4 < sum(pasted) / 400 < 0.65


def test_a_single_photograph_is_not_mixed() -> None:
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


def test_targets_that_are_no_distributions_are_refused() -> None:
    images, soft = batch(2)
    with pytest.raises(ValueError, match="one-hot"):
        mix(images, [torch.tensor([0, 4])], BOTH, seed=1)
    with pytest.raises(ValueError, match="grades"):
        mix(images, [soft[:1]], BOTH, seed=1)
    with pytest.raises(ValueError, match="uint8"):
        mix(images.float(), [soft], BOTH, seed=1)


MIXED = section(PARAMS, "mixing", probability=1.0, mixup_alpha=0.4, cutmix_alpha=1.0)


@pytest.mark.parametrize("seed", range(6))  # mixup and CutMix
def test_photographs_are_mixed_on_their_device(seed: int) -> None:
    builder = BatchBuilder(photographs(range(8), augmented=False, soft=True), MIXED)
    images, positions = torch.zeros(8, 32, 32, 3, dtype=torch.uint8), torch.arange(8)
    here, there = (builder.build(images.to(device), positions, seed=seed) for device in ("cpu", "meta"))
    assert there.images.device.type == "meta"  # no GPU is needed to see that nothing is brought back
    assert (there.images.shape, there.images.dtype) == (images.shape, torch.uint8)
    assert torch.equal(there.targets, here.targets)


def test_the_loop_moves_photographs_to_the_device_before_mixing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    to_device, on_device, mixed = fabric.to_device, [], []

    def noting(what: object) -> object:
        on_device.append(to_device(what))
        return on_device[-1]

    class Noting(BatchBuilder):
        def build(self, images: torch.Tensor, positions: torch.Tensor, *, seed: int) -> Batch:
            mixed.append(any(images is one for one in on_device))
            return super().build(images, positions, seed=seed)

    monkeypatch.setattr(fabric, "to_device", noting)
    monkeypatch.setattr(loop, "BatchBuilder", Noting)
    train(tmp_path, fabric=fabric, params=MIXED, candidate=CANDIDATE.model_copy(update={"epochs": 1}))
    assert mixed == [True] * 5


@given(st.integers(1, 40), st.integers(1, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_microbatches_make_up_the_batch(num: int, num_parts: int, taught: bool) -> None:
    images = torch.arange(num, dtype=torch.uint8).view(num, 1, 1, 1).expand(num, 2, 2, 3)
    whole = Batch(images, torch.arange(num) % 5, torch.rand(num, 5) if taught else None)
    parts = split_microbatches(whole, num_parts, min_per_process=num)
    assert len(parts) <= num_parts
    assert min(len(part.images) for part in parts) >= min(2, num)
    for of_parts, of_whole in zip(zip(*parts, strict=True), whole, strict=True):
        assert (of_whole is None and set(of_parts) == {None}) or torch.equal(torch.cat(of_parts), of_whole)


@given(st.integers(4, 60), st.integers(1, 12), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_all_processes_make_equally_many_microbatches(num: int, num_parts: int, world_size: int) -> None:
    """Batch normalisation over several GPUs would wait forever for a process that makes fewer."""
    num = max(num, 2 * world_size)
    orders = [
        EpochBatchSampler([0] * num, max(8, 2 * world_size), shuffle=True, seed=1, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    for number, shares in enumerate(zip(*orders, strict=True)):
        fewest = {order.min_per_process(number) for order in orders}
        assert fewest == {min(map(len, shares))}
        wholes = [Batch(torch.zeros(len(share), 2, 2, 3), torch.zeros(len(share)), None) for share in shares]
        assert len({len(split_microbatches(whole, num_parts, min_per_process=min(fewest))) for whole in wholes}) == 1
