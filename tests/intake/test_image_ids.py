"""Image ids are safe, unique, and depend on nothing but the path."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import DataError
from dr_pipeline.intake.image_ids import MAX_ID_CHARACTERS, check_ids, ids_from_paths
from dr_pipeline.intake.listing import natural_key

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".jpg"), unique=True)


@given(PATHS)
def test_ids_from_paths_are_safe_and_unique_in_any_case(paths: list[str]) -> None:
    ids = ids_from_paths(paths)
    assert set(ids) == set(paths)
    assert len({name.casefold() for name in ids.values()}) == len(paths)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) and len(name) <= MAX_ID_CHARACTERS for name in ids.values())


@given(PATHS, st.randoms(use_true_random=False))
def test_ids_do_not_depend_on_the_order(paths: list[str], chance: random.Random) -> None:
    shuffled = paths.copy()
    chance.shuffle(shuffled)
    assert ids_from_paths(shuffled) == ids_from_paths(paths)


def test_a_plain_name_is_its_own_id_and_a_nested_one_is_told_apart() -> None:
    ids = ids_from_paths(["p1_left.jpg", "a/p1_left.jpg", "b/p1_left.jpg"])
    assert ids["p1_left.jpg"] == "p1_left"
    assert re.fullmatch(r"a-p1_left-[0-9a-f]{8}", ids["a/p1_left.jpg"])


def test_plain_names_that_collide_get_a_hash_each() -> None:
    ids = ids_from_paths(["p1.jpg", "P1.png", "p2.jpg"])
    assert ids["p2.jpg"] == "p2"
    assert all(re.fullmatch(r"[pP]1-[0-9a-f]{8}", ids[path]) for path in ("p1.jpg", "P1.png"))


@pytest.mark.parametrize("bad", ["a.b", "a b", "", "-a", "ä", "a/b", "x" * (MAX_ID_CHARACTERS + 1)])
def test_unsafe_ids_are_refused(bad: str) -> None:
    with pytest.raises(DataError, match="1 in all"):
        check_ids(["good", bad], where="here")


def test_natural_order() -> None:
    assert sorted(["i10.png", "i2.png", "I1.png", "i2.jpg"], key=natural_key) == [
        "I1.png",
        "i2.jpg",
        "i2.png",
        "i10.png",
    ]


@given(st.lists(st.text(max_size=12)), st.randoms(use_true_random=False))
def test_natural_order_is_total(names: list[str], chance: random.Random) -> None:
    shuffled = names.copy()
    chance.shuffle(shuffled)
    assert sorted(names, key=natural_key) == sorted(shuffled, key=natural_key)
