"""Photographs in a folder: every file is listed or counted; image ids are safe, unique, and depend on the path only."""

import os
import random
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.errors import DataError
from dr_pipeline.intake.photographs import MAX_ID_CHARACTERS, check_ids, ids_from_paths, list_photographs, natural_key
from tests.factories.layouts import photograph, photographs

SUFFIXES = st.sampled_from([b".jpg", b".PNG", b".dcm", b".txt", b"", b".1.2", b".jpg "])
# Bytes as a file system takes them: any but the slash and zero; many are not UTF-8.
STEMS = st.binary(min_size=1, max_size=40).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))
FILE_NAMES = st.builds(lambda stem, suffix: stem + suffix, STEMS, SUFFIXES).filter(
    lambda name: name not in (b".", b"..")
)


@given(st.lists(FILE_NAMES, unique=True, max_size=8), st.lists(FILE_NAMES, unique=True, max_size=4))
@settings(max_examples=60, deadline=None)
def test_no_file_is_lost_whatever_its_name(top: list[bytes], below: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        photograph(root / "a.jpg")
        inner = root / "sub"
        inner.mkdir()
        for place, names in ((root, top), (inner, below)):
            for name in names:
                path = place / os.fsdecode(name)
                if not os.path.lexists(path):
                    path.write_bytes(b"x")
        files = [Path(here) / name for here, _, names in os.walk(root) for name in names]
        listing = list_photographs(root, root)
        counted = sum(listing.left_aside.values())
        assert len(listing.photographs) + len(listing.unnameable) + counted == len(files)
        assert all((root / path).is_file() for path in listing.photographs)
        for path in (*listing.photographs, *listing.unnameable):
            path.encode()  # every name can be written to a table


def test_photographs_that_only_links_and_pipes_stand_for_are_listed(tmp_path: Path) -> None:
    photographs(tmp_path, ["a.jpg", "folder.jpg/b.jpg"])
    (tmp_path / "broken.png").symlink_to("nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe.png")
    listing = list_photographs(tmp_path, tmp_path)
    assert listing.photographs == ("a.jpg", "broken.png", "folder.jpg/b.jpg", "loop.png", "pipe.png")
    assert listing.left_aside == {"unreadable files": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="a right that root lacks is absent")
def test_a_folder_that_cannot_be_read_stops_the_intake(tmp_path: Path) -> None:
    photographs(tmp_path, ["a.jpg", "closed/b.jpg"])
    (tmp_path / "closed").chmod(0)
    with pytest.raises(DataError, match=r"a folder cannot be read.*closed"):
        list_photographs(tmp_path, tmp_path)
    (tmp_path / "closed").chmod(0o755)


def test_a_folder_with_unnameable_photographs_only_has_none(tmp_path: Path) -> None:
    (tmp_path / "b\udcff.png").write_bytes(b"x")
    with pytest.raises(DataError, match="no photograph found"):
        list_photographs(tmp_path, tmp_path)


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


def test_a_plain_name_is_its_own_id_and_a_nested_one_has_a_hash() -> None:
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
