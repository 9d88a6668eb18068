"""The order of rows: as a walk that enters folders in natural order, and the same for keys that a database sorts."""

import re

from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.scoring.sources.listing import sort_key

# Signs that make the difference: digits, case, what sorts before and after letters, surrogates of raw bytes.
NAMES = st.text(st.sampled_from("0129aAbß.-_ \0\1\2\3\x7fé\udce9\ue000😀"), min_size=1, max_size=6)


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """The order of a folder's names in dr_pipeline 0.1, which the tables of clinics have."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)], name


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=30))
def test_keys_sort_as_the_names_of_each_folder_did(paths: list[str]) -> None:
    assert sorted(paths, key=sort_key) == sorted(paths, key=lambda path: [natural(name) for name in path.split("/")])


def test_a_folder_stands_where_its_name_does() -> None:
    ordered = ["2/z.jpg", "10/a.jpg", "a/img2.jpg", "a/img10.jpg", "a0.jpg", "a00.jpg", "a.jpg", "b1.jpg", "B.jpg"]
    assert sorted(ordered, key=sort_key) == ordered


def test_a_number_of_any_length_has_its_place() -> None:
    names = ["a9", "a" + "9" * 5000, "a1" + "0" * 5000]
    assert sorted(names, key=sort_key) == names


@given(NAMES, NAMES)
def test_equal_keys_are_equal_names(first: str, second: str) -> None:
    assert (sort_key(first) == sort_key(second)) == (first == second)
