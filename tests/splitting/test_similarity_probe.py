"""The probe finds look-alikes across parts that no column shows, and none in clean data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from dr_pipeline.errors import DataError, GateError
from dr_pipeline.splitting import nearest_neighbours as nearest_module
from dr_pipeline.splitting import similarity_probe as probe_module
from dr_pipeline.splitting.grade_balance import grade_test
from dr_pipeline.splitting.leakage import require_no_leak
from dr_pipeline.splitting.nearest_neighbours import NO_NEIGHBOUR, Hashed, nearest_in_parts
from dr_pipeline.splitting.similarity_probe import binomial_p, probe_similarity
from dr_pipeline.splitting.split_report import describe_split, headline, worst_grades
from dr_pipeline.tables.splits import SplitRow


def patients(count: int, seed: int) -> tuple[list[SplitRow], dict[str, str]]:
    """Two eyes each, whose hashes share a fifth of their bits, as those of fellow eyes and of one camera may."""
    rng = np.random.default_rng(seed)
    rows, hashes = [], {}
    for patient in range(count):
        common = rng.integers(0, 2, 256)
        fold = None if patient % 6 == 0 else patient % 5
        for eye in ("left", "right"):
            name = f"{patient:04}-{eye}"
            bits = np.where(rng.random(256) < 0.2, common, rng.integers(0, 2, 256))
            hashes[name] = np.packbits(bits.astype(np.uint8)).tobytes().hex()
            split = "test" if fold is None else "development"
            rows.append(
                SplitRow(
                    image_id=name,
                    patient_id=f"P{patient}",
                    duplicate_cluster="",
                    group=f"patient:P{patient}",
                    grade=0,
                    split=split,
                    fold=fold,
                )
            )
    return rows, hashes


def copied(digits: str, flipped: int, rng: np.random.Generator) -> str:
    """The hash of a near copy: some bits flipped."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8))
    bits[rng.choice(256, flipped, replace=False)] ^= 1
    return np.packbits(bits).tobytes().hex()


def brute_force(hashed: Hashed, rows: NDArray[np.int64], parts: list[int]) -> NDArray[np.int64]:
    bits = np.unpackbits(np.ascontiguousarray(hashed.words).view(np.uint8), axis=1).astype(np.int64)
    result = np.full((len(rows), len(parts)), NO_NEIGHBOUR)
    for line, row in enumerate(rows):
        for column, part in enumerate(parts):
            others = (hashed.part == part) & (hashed.group != hashed.group[row])
            if others.any():
                result[line, column] = (bits[others] != bits[row]).sum(axis=1).min()
    return result


@pytest.mark.parametrize("block", [1, 50, 2**17])
def test_nearest_is_that_of_brute_force(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_module, "_BLOCK", block)
    rng = np.random.default_rng(1)
    words = rng.integers(0, 2**63, (90, 4)).astype(np.uint64)
    group = rng.integers(0, 30, 90)
    hashed = Hashed(words, group, group % 4)  # part 3 is no query, part 9 is empty
    rows = rng.permutation(90)[:70]
    assert (nearest_in_parts(hashed, rows, [0, 9, 2, 1]) == brute_force(hashed, rows, [0, 9, 2, 1])).all()


@pytest.mark.parametrize("seed", range(4))
def test_clean_data_do_not_leak(seed: int) -> None:
    probe = probe_similarity(*patients(300, seed), "s")
    assert set(probe.parts) == {"test", *(f"fold {fold}" for fold in range(5))}
    assert sum(part.photographs for part in probe.parts.values()) == 600
    assert sum(part.same_picture for part in probe.parts.values()) == 0
    require_no_leak(probe)


@pytest.mark.parametrize(("held", "flipped", "count"), [("test", 12, 3), ("fold 2", 12, 3), ("test", 60, 10)])
def test_planted_copies_are_found_and_named(held: str, flipped: int, count: int) -> None:
    rows, hashes = patients(300, 9)
    rng = np.random.default_rng(2)
    ours = [row.image_id for row in rows if row.part == held][::3][:count]
    theirs = [row.image_id for row in rows if row.part not in (held, "test")][::7][:count]
    for name, source in zip(ours, theirs, strict=True):
        hashes[name] = copied(hashes[source], flipped, rng)
    probe = probe_similarity(rows, hashes, "s")
    assert probe.parts[held].leaks
    assert {(pair.image_id, pair.nearest) for pair in probe.parts[held].pairs} >= set(zip(ours, theirs, strict=True))
    with pytest.raises(GateError, match=f"of the part {held} resemble .*{ours[0]} and {theirs[0]}"):
        require_no_leak(probe)


def test_a_camera_of_the_part_held_out_is_no_leak() -> None:
    """A site is held out whose camera marks the hashes; a few training photographs are of that camera too."""
    rng = np.random.default_rng(1)
    mark = rng.random(256) < 0.5
    rows, hashes = [], {}
    for number in range(1500):
        test, marked = number >= 1000, number >= 950
        bits = np.where(rng.random(256) < 0.35, ~mark, mark) if marked else rng.random(256) < 0.5
        name = f"{number:04}"
        hashes[name] = np.packbits(bits).tobytes().hex()
        split, fold = ("test", None) if test else ("development", number % 2)
        rows.append(SplitRow(image_id=name, patient_id=name, group=name, grade=0, split=split, fold=fold))
    given = probe_similarity(rows, hashes, "s", {"test"})
    assert given.parts["test"].given
    assert given.parts["test"].beyond_chance
    require_no_leak(given)
    line = headline(describe_split(rows, {"test": None, "0": 0.5, "1": 0.5}), grade_test(worst_grades(rows)), given)
    assert "more look-alikes than chance in test: " in line
    with pytest.raises(GateError, match="of the part test resemble"):
        require_no_leak(probe_similarity(rows, hashes, "s"))
    for ours, theirs in (("1000", "0000"), ("1001", "0001"), ("1002", "0002")):
        hashes[ours] = hashes[theirs]
    with pytest.raises(GateError, match="3 are within 24 of 256 bits"):
        require_no_leak(probe_similarity(rows, hashes, "s", {"test"}))


def test_one_look_alike_is_reported_but_does_not_stop() -> None:
    rows, hashes = patients(300, 9)
    hashes["0000-left"] = hashes["0001-left"]
    probe = probe_similarity(rows, hashes, "s")
    pair = probe.parts["test"].pairs[0]
    assert (pair.image_id, pair.nearest, pair.distance) == ("0000-left", "0001-left", 0)
    assert probe.parts["test"].same_picture == 1
    require_no_leak(probe)


def test_empty_hashes_are_counted() -> None:
    rows, hashes = patients(60, 3)
    hashes |= {"0000-left": "", "0000-right": "0" * 64, "0001-left": "0" * 64}
    del hashes["0002-left"]
    probe = probe_similarity(rows, hashes, "s")
    assert probe.not_probed == 4
    assert probe.parts["test"].same_picture == 0
    assert probe_similarity(rows, {}, "s").parts == {}
    with pytest.raises(DataError, match="not a perceptual hash"):
        probe_similarity(rows, hashes | {"0001-left": "abc"}, "s")


def test_order_of_rows_changes_nothing() -> None:
    rows, hashes = patients(80, 4)
    assert probe_similarity(rows[::-1], hashes, "s") == probe_similarity(rows, hashes, "s")


def test_too_many_are_sampled_by_salted_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, hashes = patients(300, 9)
    monkeypatch.setattr(probe_module, "_MAX_PAIRS", 100_000)
    probe = probe_similarity(rows, hashes, "s")
    assert probe.sampled == pytest.approx(200 / 600)
    assert probe.parts["test"].photographs == 100
    assert probe_similarity(rows, hashes, "s") == probe
    assert probe_similarity(rows, hashes, "t") != probe


@given(st.integers(0, 200), st.integers(0, 3000), st.floats(0.001, 0.999))
def test_binomial_tail_is_scipys(hits: int, trials: int, share: float) -> None:
    hits = min(hits, trials)
    assert binomial_p(hits, trials, share) == pytest.approx(binom.sf(hits - 1, trials, share), rel=1e-6, abs=1e-12)
