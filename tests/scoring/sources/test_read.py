"""A file that is not a file, or not the same any more, is a sentence; a pipe never blocks."""

import os
import socket
from pathlib import Path

import pytest

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus import decode
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.read import read_entry


def entry(path: Path) -> Entry:
    return Entry(path.name, str(path))


def test_a_file_that_grows_or_is_written_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x" * 100)
    assert read_entry(entry(path)) == b"x" * 100
    real, calls = os.fstat, []

    def fstat(handle: int) -> os.stat_result:
        status = real(handle)
        calls.append(handle)
        if changes and len(calls) % 2:
            changes[0]()
        return status

    def grow() -> None:
        with path.open("ab") as stream:
            stream.write(b"more")

    monkeypatch.setattr(decode.os, "fstat", fstat)
    changes = [grow, lambda: os.truncate(path, 10), lambda: os.utime(path, (1, 1))]
    while changes:
        with pytest.raises(ImageError, match="the file changed while it was read"):
            read_entry(entry(path))
        changes.pop(0)


def test_what_took_the_place_of_a_file_since_it_was_listed_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name in ("pipe", "folder", "socket"):
            with pytest.raises(ImageError, match="not a regular file"):
                read_entry(entry(tmp_path / name))
    with pytest.raises(ImageError, match="the file is missing"):
        read_entry(entry(tmp_path / "gone"))
    with pytest.raises(ImageError, match="zero byte"):
        read_entry(Entry("a\0b", "a\0b"))


def test_a_problem_found_by_the_listing_is_the_reason() -> None:
    with pytest.raises(ImageError, match="broken link"):
        read_entry(Entry("a", "/nowhere", "broken link"))
