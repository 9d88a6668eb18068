"""Arrivals with a clock of the tests' own: complete files once, half-written ones not before they are complete."""

import os
from pathlib import Path

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.scoring import arrivals as module
from dr_pipeline.scoring.arrivals import Arrivals


class Watched:
    """A folder under watch."""

    def __init__(self, folder: Path, **known: str) -> None:
        self.folder, self.now_s = folder, 1000.0
        self.arrivals = Arrivals(folder, rules=FolderRules(), leave_out=frozenset({folder / "p.csv"}), known=known)

    def after(self, seconds: float) -> list[str]:
        """The files that arrive within the next seconds, polled four times a second."""
        end_s, arrived = self.now_s + seconds, []
        while self.now_s < end_s:
            self.now_s += 0.25
            arrived += [entry.relative for entry, _ in self.arrivals.poll(self.now_s)]
        return arrived


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    (tmp_path / "clinic").mkdir()
    return Watched(tmp_path / "clinic")


def test_what_is_there_and_what_comes_arrives_once_in_the_order_of_a_listing(watched: Watched) -> None:
    for name in ("img10.jpg", "img2.jpg", "p.csv", "Thumbs.db"):
        (watched.folder / name).touch()
    assert watched.after(1) == []
    assert watched.after(0.5) == ["img2.jpg", "img10.jpg"]
    assert watched.after(200) == []
    (watched.folder / "new.jpg").touch()
    assert watched.after(1.5) == ["new.jpg"]
    assert watched.after(200) == []


def test_a_half_written_file_waits(watched: Watched) -> None:
    path = watched.folder / "a.jpg"
    for size in range(1, 6):
        path.write_bytes(b"x" * size)
        assert watched.after(0.75) == []
    assert watched.after(0.75) == ["a.jpg"]


def test_a_file_that_a_process_still_writes_waits_but_not_for_ever(watched: Watched) -> None:
    with (watched.folder / "a.jpg").open("wb") as stream:
        stream.write(b"half")
        stream.flush()
        assert watched.after(5) == []
    assert watched.after(0.25) == ["a.jpg"]
    with (watched.folder / "b.jpg").open("wb"):
        assert watched.after(3) == []
        watched.now_s += 56
        assert watched.after(4) == ["b.jpg"]


def test_a_file_that_is_renamed_into_place_arrives_under_its_name_alone(watched: Watched) -> None:
    (watched.folder / "a.jpg.part").write_bytes(b"x")
    assert watched.after(0.5) == []
    (watched.folder / "a.jpg.part").rename(watched.folder / "a.jpg")
    assert watched.after(10) == ["a.jpg"]


def test_files_in_new_and_in_old_folders_arrive(watched: Watched) -> None:
    (watched.folder / "old").mkdir()
    assert watched.after(20) == []
    (watched.folder / "old" / "a.jpg").touch()
    (watched.folder / "new" / "er").mkdir(parents=True)
    (watched.folder / "new" / "er" / "b.jpg").touch()
    assert watched.after(1.5) == ["new/er/b.jpg", "old/a.jpg"]


def test_a_file_that_was_changed_in_place_arrives_again(watched: Watched) -> None:
    path = watched.folder / "a.jpg"
    path.write_bytes(b"half")
    assert watched.after(2) == ["a.jpg"]
    path.write_bytes(b"whole")
    assert watched.after(63) == ["a.jpg"]
    assert watched.after(100) == []


def test_an_unchanged_folder_is_not_read_again(watched: Watched, monkeypatch) -> None:
    for number in range(3):
        (watched.folder / str(number)).mkdir()
        (watched.folder / str(number) / "a.jpg").touch()
    watched.after(10)
    read, real = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: read.append(str(path)) or real(path))
    watched.after(30)
    assert [path for path in read if path.startswith(str(watched.folder))] == []
    (watched.folder / "1" / "b.jpg").touch()
    assert watched.after(2) == ["1/b.jpg"]
    assert {path for path in read if path.startswith(str(watched.folder))} == {str(watched.folder / "1")}


def test_a_file_that_comes_within_one_tick_of_the_file_servers_clock_arrives(watched: Watched) -> None:
    (watched.folder / "a.jpg").touch()
    times = watched.folder.stat().st_mtime_ns
    watched.after(0.25)
    (watched.folder / "b.jpg").touch()
    os.utime(watched.folder, ns=(times, times))  # as a clock of 2 s leaves it
    assert sorted(watched.after(3)) == ["a.jpg", "b.jpg"]


def test_what_cannot_be_read_arrives_later_with_its_problem_and_a_link_to_nothing_may_be_repaired(
    watched: Watched,
) -> None:
    (watched.folder / "gone.jpg").symlink_to("nowhere.jpg")
    (watched.folder / "late.jpg").symlink_to("target.jpg")
    assert watched.after(5) == []
    (watched.folder / "target.jpg").touch()
    assert sorted(watched.after(70)) == ["gone.jpg", "late.jpg", "target.jpg"]


def test_known_files_do_not_arrive_again(watched: Watched) -> None:
    (watched.folder / "a.jpg").touch()
    watched.now_s += 5
    watched.arrivals.poll(watched.now_s)
    ((entry, signature),) = watched.arrivals.poll(watched.now_s + 2)
    again = Watched(watched.folder, **{entry.relative: signature})
    assert again.after(5) == []
    (watched.folder / "a.jpg").write_bytes(b"changed")
    assert Watched(watched.folder, **{entry.relative: signature}).after(5) == ["a.jpg"]


def test_a_folder_that_goes_away_and_comes_again(watched: Watched, monkeypatch) -> None:
    (watched.folder / "a").mkdir()
    (watched.folder / "a" / "1.jpg").touch()
    assert watched.after(5) == ["a/1.jpg"]
    away = watched.folder.with_name("away")
    watched.folder.rename(away)
    for _ in range(2):  # as long as it is away
        with pytest.raises(DataError, match="cannot be opened"):
            watched.after(5)
    away.rename(watched.folder)
    (watched.folder / "a" / "2.jpg").touch()
    assert watched.after(70) == ["a/2.jpg"]


def test_without_proc_a_file_is_complete_when_it_does_not_change(watched: Watched, monkeypatch) -> None:
    monkeypatch.setattr(module, "Path", lambda _: watched.folder / "no proc")
    with (watched.folder / "a.jpg").open("wb"):
        assert watched.after(2) == ["a.jpg"]
