"""What is listed, and the order of rows: as a walk that enters folders in natural order."""

import os
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import DataError, ImageError
from dr_pipeline.scoring.sources.listing import list_entries, sort_key
from dr_pipeline.scoring.sources.read import read_entry

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


def relatives(*sources: object) -> list[str]:
    return [entry.relative for entry in list_entries([str(source) for source in sources])]


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.fsencode(name))


def test_several_sources_have_their_names_before_each_path(tmp_path: Path) -> None:
    touch(tmp_path, "north/2024/a.jpg", "south/2024/a.jpg", "b.jpg")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("a.jpg", b"x")
    north, south = tmp_path / "north", tmp_path / "south"
    assert relatives(north, south, tmp_path / "b.jpg", tmp_path / "c.zip") == [
        "b.jpg",
        "c.zip/a.jpg",
        "north/2024/a.jpg",
        "south/2024/a.jpg",
    ]
    assert relatives(north / "2024", south / "2024") == ["north/2024/a.jpg", "south/2024/a.jpg"]


def test_a_source_inside_another_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/c.jpg")
    (tmp_path / "link").symlink_to("a")
    for sources in (("a", "a/b"), ("a/b/c.jpg", "a"), ("a", "link"), ("a", "a/../a")):
        with pytest.raises(DataError, match="named twice, or lies in another one"):
            relatives(*(tmp_path / source for source in sources))


def test_the_same_address_or_list_twice_is_refused(tmp_path: Path) -> None:
    for source in ("s3://user:secret@bucket/x?token=1", f"@{tmp_path / 'list.txt'}"):
        with pytest.raises(DataError, match="two sources have the same path") as error:
            relatives(source, source)
        assert "secret" not in str(error.value)
        assert "token" not in str(error.value)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    for source in ("gone", "loop", "@gone"):
        (tmp_path / "loop").unlink(missing_ok=True)
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(DataError, match=r"no such folder or file|cannot be opened|cannot be read"):
            relatives(f"@{tmp_path / 'gone'}" if source == "@gone" else tmp_path / source)


def test_a_list_names_files_and_what_is_missing_is_an_entry(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "in/b.jpg", "out/c.jpg", os.fsdecode(b"caf\xe9.jpg"))
    lines = [b"in/b.jpg", b"./a.jpg", b"", b"caf\xe9.jpg", b"gone.jpg", str(tmp_path / "out/c.jpg").encode(), b"in"]
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    entries = {entry.relative: entry for entry in list_entries([f"@{tmp_path / 'list.txt'}"])}
    whole = str(tmp_path / "out/c.jpg")
    assert set(entries) == {"a.jpg", "in/b.jpg", "caf\udce9.jpg", "gone.jpg", whole, "in"}
    assert read_entry(entries["a.jpg"]) == b"a.jpg"
    assert read_entry(entries[whole]) == b"out/c.jpg"
    assert read_entry(entries["caf\udce9.jpg"]) == b"caf\xe9.jpg"
    for name, reason in (("gone.jpg", "missing"), ("in", "not a regular file")):
        with pytest.raises(ImageError, match=reason):
            read_entry(entries[name])


def test_a_list_as_powershell_writes_it_and_one_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("é.jpg\r\nb.jpg\r\n", encoding="utf-16", newline="")
    assert relatives(f"@{path}") == ["b.jpg", "é.jpg"]
    path.write_bytes(b"\xff\xfea")
    with pytest.raises(DataError, match="the list is not text"):
        relatives(f"@{path}")
    path.write_text("\n\n")
    with pytest.raises(DataError, match="no files to score"):
        relatives(f"@{path}")


def test_dicom_in_nested_folders_without_suffix_is_listed(tmp_path: Path) -> None:
    touch(
        tmp_path, "DICOM/0000A1/AA01/IM000001", "DICOM/0000A1/AA01/IM000010", "DICOM/0000A1/AA01/IM000002", "DICOMDIR"
    )
    assert [name.rpartition("/")[2] for name in relatives(tmp_path)] == ["IM000001", "IM000002", "IM000010", "DICOMDIR"]
