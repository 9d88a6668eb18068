import os
import sqlite3
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dr_pipeline.errors import DataError
from dr_pipeline.schema import Status
from dr_pipeline.scoring import journal as journal_module
from dr_pipeline.scoring.journal import Journal, journal_path
from dr_pipeline.scoring.score import failed
from dr_pipeline.scoring.sources.entry import Entry
from tests.factories.scoring import drawn_score

pytestmark = pytest.mark.slow


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_path(tmp_path / "made" / "p.csv")


def entries(*names: str) -> list[Entry]:
    return [Entry(name, f"/clinic/{name}") for name in names]


def finish_all(journal: Journal) -> list[str]:
    ids = [journal.finish(entry, drawn_score(entry), bundle_id="b").image_id for entry in journal.todo()]
    journal.commit()
    return ids


def test_entries_are_sorted_numbered_and_counted(path: Path) -> None:
    found = [
        *entries("b/2.jpg", "img10.jpg", "img2.jpg", "b/10.jpg"),
        Entry("x", "x", left_out="system files", files=3),
    ]
    with Journal(path) as journal:
        listing = journal.take_listing(iter(found))
        assert [entry.relative for entry in journal.todo()] == ["b/2.jpg", "b/10.jpg", "img2.jpg", "img10.jpg"]
        assert (listing.count, listing.left_out, journal.total) == (4, {"system files": 3}, 4)
    with Journal(path) as journal:
        assert journal.listing == listing


def test_a_listing_does_not_depend_on_the_order_in_which_it_was_found(tmp_path: Path) -> None:
    found = entries(*(f"{number % 3}/{number}.jpg" for number in range(50)))
    with Journal(tmp_path / "1") as one, Journal(tmp_path / "2") as two:
        assert one.take_listing(found) == two.take_listing(reversed(found))
        assert list(one.todo()) == list(two.todo())


def test_a_listing_that_was_interrupted_begins_again(path: Path) -> None:
    def interrupted():
        yield from entries(*map(str, range(1500)))
        raise KeyboardInterrupt

    with Journal(path) as journal, pytest.raises(KeyboardInterrupt):
        journal.take_listing(interrupted())
    with Journal(path) as journal:
        assert journal.listing is None
        assert journal.take_listing(entries("a", "b")).count == 2
        assert journal.total == 2


def test_what_is_finished_and_committed_is_there_again(path: Path) -> None:
    with Journal(path) as journal:
        journal.take_listing(entries("a", "b", "c"))
        for entry in list(journal.todo())[:2]:
            journal.finish(entry, drawn_score(entry), bundle_id="b")
        journal.commit()
        rows = list(journal.rows(bundle_id="b"))
        (last,) = journal.todo()
        journal.finish(last, failed("not committed"), bundle_id="b")
    with Journal(path) as journal:
        assert (journal.finished, journal.total) == (2, 3)
        assert list(journal.rows(bundle_id="b")) == rows
        assert [scored.score for scored in journal.scored()] == [drawn_score(entry) for entry in entries("a", "b")]
        assert list(journal.todo()) == [last]
        assert sum(journal.by_status().values()) == 2


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw_names=st.lists(st.binary(min_size=1, max_size=30), max_size=40))
def test_ids_are_unique_whatever_the_names(path: Path, raw_names: list[bytes]) -> None:
    names = [os.fsdecode(name) for name in raw_names]
    with Journal(path) as journal:
        journal.clear()
        for position, entry in enumerate(entries(*names)):
            journal.add(position, entry)
        ids = finish_all(journal)
    assert len(set(ids)) == len(names)
    assert all(ids)
    assert not any(image_id.startswith(("=", "+", "-", "@", "\t", "\r")) or "\n" in image_id for image_id in ids)


def test_a_path_that_comes_again_and_again_has_an_id_each_time(path: Path) -> None:
    with Journal(path) as journal:
        for position in range(15):
            journal.add(position, Entry("a.jpg", "a.jpg"))
        assert len(set(finish_all(journal))) == 15


def test_the_first_row_with_the_same_pixels_is_found(path: Path) -> None:
    names = [f"{number}.jpg" for number in range(200)]
    with Journal(path) as journal:
        journal.take_listing(entries(*names))
        finish_all(journal)
        first: dict[str, str] = {}
        rows = list(journal.rows(bundle_id="b"))
        for row, scored in zip(rows, journal.scored(), strict=True):
            pixels = scored.score.pixel_hash
            assert row.duplicate_of == (first.get(pixels, "") if pixels else "")
            first.setdefault(pixels, row.image_id)
        assert journal.duplicates() == sum(bool(row.duplicate_of) for row in rows) > 100
        assert journal.by_status()[Status.FAILED] == sum(row.status is Status.FAILED for row in rows)


def test_only_its_owner_may_read_it(path: Path) -> None:
    with Journal(path):
        assert path.parent.stat().st_mode & 0o777 == 0o700
        for each in path.parent.iterdir():
            assert each.stat().st_mode & 0o777 == 0o600


def test_it_is_locked_for_others(path: Path) -> None:
    with Journal(path), pytest.raises(DataError, match="another run is writing this table"):
        Journal(path)


def test_a_damaged_journal_is_an_error(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(DataError, match="journal is damaged"):
        Journal(path)


def test_a_journal_of_another_version_is_an_error(path: Path) -> None:
    with Journal(path):
        pass
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(DataError, match="another version"):
        Journal(path)


def test_a_folder_in_its_place_is_an_error(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises((DataError, OSError)):
        Journal(path)


def test_removed_it_leaves_nothing(path: Path) -> None:
    with Journal(path) as journal:
        journal.take_listing(entries("a"))
        journal.remove()
    assert list(path.parent.iterdir()) == []


def test_entries_and_rows_are_on_disk_and_not_in_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_BATCH", 50)
    entries_of_a_run = (Entry(f"{number % 97}/{number:0500}.jpg", "/clinic") for number in range(3000))
    tracemalloc.start()
    try:
        with Journal(path) as journal:
            journal.take_listing(entries_of_a_run)
            for entry in journal.todo():
                journal.finish(entry, failed("no photograph"), bundle_id="b")
            journal.commit()
            assert sum(1 for _ in journal.rows(bundle_id="b")) == 3000
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000  # the names alone are 1.5 MB
