"""The batches of an epoch on each process."""

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.params.training import Sampling
from dr_pipeline.training.data.sampler import EpochBatchSampler, derived_seed

GRADES = [0] * 70 + [1] * 8 + [2] * 13 + [3] * 6 + [4] * 3


def positions(batches: EpochBatchSampler) -> list[int]:
    return [draw.position for batch in batches for draw in batch]


def training(grades: list[int], batch: int, sampling: Sampling = "natural", **more: Any) -> EpochBatchSampler:
    return EpochBatchSampler(grades, batch, shuffle=True, seed=3, sampling=sampling, **more)


@st.composite
def divisions(draw: st.DrawFn) -> tuple[int, int, int]:
    world_size = draw(st.integers(1, 4))
    return draw(st.integers(2 * world_size, 120)), draw(st.integers(2 * world_size, 40)), world_size


@given(divisions())
def test_each_photograph_is_seen_once_over_all_processes(division: tuple[int, int, int]) -> None:
    num, batch, world_size = division
    ranks = [training([0] * num, batch, rank=rank, world_size=world_size) for rank in range(world_size)]
    seen = [list(rank) for rank in ranks]
    assert sorted(draw.position for rank in seen for part in rank for draw in part) == list(range(num))
    assert {len(rank) for rank in ranks} == {len(rank) for rank in seen} == {len(seen[0])}
    for parts in zip(*seen, strict=True):
        sizes = [len(part) for part in parts]
        assert min(sizes) >= 2  # what batch normalisation needs
        assert max(sizes) - min(sizes) <= 1
        assert sum(sizes) < batch + 2 * world_size
    together = list(training([0] * num, batch))
    if num % batch == 0 or num % batch >= 2 * world_size:  # the same batches as one process
        assert [sorted(itertools.chain(*parts)) for parts in zip(*seen, strict=True)] == [sorted(b) for b in together]


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 4))
def test_evaluation_has_the_batches_of_one_process_unpadded(num: int, batch: int, world_size: int) -> None:
    alone = list(EpochBatchSampler([0] * num, batch, shuffle=False, seed=0))
    assert [draw.position for part in alone for draw in part] == list(range(num))
    assert all(len(part) == batch for part in alone[:-1])
    ranks = [
        EpochBatchSampler([0] * num, batch, shuffle=False, seed=0, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    for number, rank in enumerate(ranks):
        assert list(rank) == alone[number::world_size]
        assert len(rank) == len(list(rank))


def test_each_epoch_has_its_own_reproducible_order() -> None:
    batches = training([0] * 50, 8)
    first = list(batches)
    batches.epoch = 1
    second = list(batches)
    assert {draw.epoch for batch in second for draw in batch} == {1}
    assert [d.position for b in first for d in b] != [d.position for b in second for d in b]
    batches.epoch = 0
    assert list(batches) == first
    other_seed = EpochBatchSampler([0] * 50, 8, shuffle=True, seed=4)
    assert list(other_seed) != first


def test_the_natural_order_is_numpys_shuffle_by_seed_and_epoch() -> None:
    batches = training([0] * 20, 6)
    batches.epoch = 5
    order = np.arange(20)
    np.random.default_rng([3, 5]).shuffle(order)
    assert positions(batches) == order.tolist()
    assert [len(batch) for batch in batches] == [6, 6, 6, 2]


def test_a_small_remainder_joins_the_batch_before_it() -> None:
    assert [len(batch) for batch in training([0] * 17, 8)] == [8, 9]
    assert [len(batch) for batch in training([0] * 18, 8)] == [8, 8, 2]
    assert [len(batch) for batch in training([0] * 19, 8, world_size=2)] == [4, 6]
    assert [len(batch) for batch in training([0] * 5, 8)] == [5]


def test_batches_too_small_for_batch_normalisation_are_refused() -> None:
    with pytest.raises(ParamsError, match="a batch of 7 photographs is too small for 4 processes") as raised:
        training([0] * 50, 7, world_size=4)
    assert "8 or more" in raised.value.todo
    with pytest.raises(DataError, match="found 1 training photographs"):
        training([0], 4)
    with pytest.raises(ValueError, match="balanced sampling"):
        EpochBatchSampler(GRADES, 8, shuffle=False, seed=0, sampling="balanced")
    assert len(list(EpochBatchSampler([0], 8, shuffle=False, seed=0))) == 1  # evaluating one photograph is no fault


def test_balanced_sampling_draws_grades_equally_often() -> None:
    batches = training(GRADES, 8, "balanced")
    drawn = positions(batches)
    assert len(drawn) == len(GRADES)
    assert all(abs(count - 20) <= 1 for count in Counter(GRADES[p] for p in drawn).values())
    assert positions(batches) == drawn
    batches.epoch = 1
    assert positions(batches) != drawn


def test_balanced_sampling_favours_no_photograph_of_a_grade() -> None:
    batches = training(GRADES, 8, "balanced")
    times: Counter[int] = Counter()
    num_epochs = 300
    for batches.epoch in range(num_epochs):
        times.update(positions(batches))
    share = 20 / 70  # of the epochs that include a certain photograph of grade 0
    deviation = math.sqrt(num_epochs * share * (1 - share))
    assert all(abs(times[p] - num_epochs * share) < 5 * deviation for p in range(70))


@given(st.lists(st.integers(0, 4), min_size=2, max_size=150), st.integers(0, 9))
def test_counts_differ_from_their_expectation_by_less_than_one(grades: list[int], epoch: int) -> None:
    batches = training(grades, 8, "decaying", num_epochs=10)
    batches.epoch = epoch
    times = Counter(positions(batches))
    assert sum(times.values()) == len(grades)
    balance = 1 - epoch / 9
    for position, grade in enumerate(grades):
        balanced = len(grades) / len(set(grades)) / grades.count(grade)
        assert abs(times[position] - ((1 - balance) + balance * balanced)) < 1 + 1e-6


def test_repeats_are_counted_over_all_processes() -> None:
    """So that the second sample of a photograph in an epoch is augmented differently."""
    ranks = [training(GRADES, 8, "balanced", rank=rank, world_size=2) for rank in range(2)]
    draws = [draw for rank in ranks for batch in rank for draw in batch]
    assert len(set(draws)) == len(draws) == len(GRADES)
    assert max(draw.repeat for draw in draws) == max(Counter(draw.position for draw in draws).values()) - 1 >= 2
    assert {draw.repeat for batch in training(GRADES, 8) for draw in batch} == {0}


def test_decaying_goes_from_balanced_to_each_photograph_once() -> None:
    batches, balanced = training(GRADES, 8, "decaying", num_epochs=5), training(GRADES, 8, "balanced")
    assert positions(batches) == positions(balanced)
    rare = []
    for batches.epoch in range(5):
        rare.append(sum(GRADES[p] == 4 for p in positions(batches)))
    assert rare == sorted(rare, reverse=True)
    assert len(set(rare)) == 5
    assert sorted(positions(batches)) == list(range(len(GRADES)))
    assert sorted(positions(training(GRADES, 8, "decaying", num_epochs=1))) == list(range(len(GRADES)))


def test_absent_grades_are_not_drawn() -> None:
    grades = [1] * 30 + [4] * 2
    counts = Counter(grades[p] for p in positions(training(grades, 8, "balanced")))
    assert counts == {1: 16, 4: 16}


def test_derived_seeds_differ() -> None:
    assert len({derived_seed(1, epoch, position) for epoch in range(20) for position in range(50)}) == 1000


@pytest.mark.parametrize(
    ("temperature", "expected"), [(1.0, (90, 10)), (2.0, (75, 25)), (1e9, (50, 50))]
)  # √90 : √10 is 3 : 1
def test_a_site_is_drawn_by_its_size_to_the_inverse_temperature(temperature: float, expected: tuple[int, int]) -> None:
    sites = ["large"] * 90 + ["small"] * 10
    epoch = training([0] * 100, 10, sites=sites, site_temperature=temperature)
    drawn = positions(epoch)
    counts = Counter(sites[position] for position in drawn)
    assert (counts["large"], counts["small"]) == expected
    each = Counter(drawn)
    for name, size in (("large", 90), ("small", 10)):
        of_site = [each[position] for position in range(100) if sites[position] == name]
        assert max(of_site) - min(of_site) <= 1
        assert len(of_site) == size


def test_sites_and_grades_are_balanced_together_and_one_site_changes_nothing() -> None:
    sites = ["large" if number % 10 else "small" for number in range(100)]
    both = positions(training(GRADES, 10, "balanced", sites=sites, site_temperature=1e9))
    assert Counter(GRADES[position] for position in both) == dict.fromkeys(range(5), 20)
    natural = Counter(sites[position] for position in positions(training(GRADES, 10, "balanced")))
    assert Counter(sites[position] for position in both)["small"] > 2 * natural["small"]
    alone = training(GRADES, 10, "balanced", sites=["a"] * 100, site_temperature=4.0)
    assert positions(alone) == positions(training(GRADES, 10, "balanced"))
    with pytest.raises(ValueError, match="requires shuffle"):
        EpochBatchSampler(GRADES, 10, shuffle=False, seed=0, sites=sites, site_temperature=2.0)
