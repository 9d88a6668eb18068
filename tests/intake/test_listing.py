"""Whatever lies in a folder, each file is a photograph, is listed as unnameable, or is counted."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.errors import DataError
from dr_pipeline.intake.listing import list_photographs
from tests.factories.layouts import photograph, photographs

SUFFIXES = st.sampled_from([b".jpg", b".PNG", b".dcm", b".txt", b"", b".1.2", b".jpg "])
# Bytes as a file system takes them: any but the slash and zero; many are not UTF-8.
STEMS = st.binary(min_size=1, max_size=40).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))
NAMES = st.builds(lambda stem, suffix: stem + suffix, STEMS, SUFFIXES).filter(lambda name: name not in (b".", b".."))


@given(st.lists(NAMES, unique=True, max_size=8), st.lists(NAMES, unique=True, max_size=4))
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
        counted = listing.hidden_files + listing.other_files
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
    assert listing.other_files == 1


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
