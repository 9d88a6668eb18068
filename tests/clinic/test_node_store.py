import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from dr_pipeline.clinic.node.store import NodeStore
from dr_pipeline.clinic.photograph_header import PhotographHeader, read_photograph_header
from dr_pipeline.errors import DataError
from dr_pipeline.schema import Status
from dr_pipeline.tables.predictions import PredictionRow
from tests.factories.clinic import clinic_photograph
from tests.factories.dicom import SECRETS

HEADER = read_photograph_header(clinic_photograph(1, seed=1, side_px=64))


def header(uid: str) -> PhotographHeader:
    return replace(HEADER, sop_instance=uid)


def take(store: NodeStore, uid: str, sha256: str = "a", size: int = 100) -> None:
    store.take(f"{uid}.dcm", header(uid), sha256=sha256, size=size)


def row(image_id: str) -> PredictionRow:
    return PredictionRow(image_id=image_id, path="p", sha256="a", status=Status.FAILED, reason="drawn", bundle_id="b")


def finish(store: NodeStore, pixels: bytes = b"") -> None:
    photograph = store.todo(1)[0]
    name = store.image_id(photograph.name)
    store.finish(photograph, row(name), pixels, (f"9.{photograph.number}", b"report"))


def test_a_photograph_goes_its_way(tmp_path: Path) -> None:
    with NodeStore(tmp_path / "node.sqlite") as store:
        take(store, "1.2")
        assert (store.waiting, store.waiting_bytes) == (1, 100)
        assert store.names_of("1.2") == {"a": "1.2.dcm"}
        (photograph,) = store.todo(5)
        assert photograph.header == header("1.2")
        finish(store)
        assert (store.waiting, store.waiting_bytes, store.todo(5)) == (0, 0, [])
        assert [found.image_id for found in store.rows()] == ["1.2"]
        (report,) = store.due_reports(0, 5)
        assert (report.sop_instance, report.data) == ("9.1", b"report")
        store.delivered(report.number)
        assert (store.due_reports(0, 5), store.unsent()) == ([], 0)


def test_all_of_it_is_there_after_a_kill(tmp_path: Path) -> None:
    store = NodeStore(tmp_path / "node.sqlite")
    for number in range(3):
        take(store, f"1.{number}", size=10)
    finish(store)
    store._db.close()  # as a kill does: nothing else is closed
    with NodeStore(tmp_path / "node.sqlite") as again:
        assert (again.waiting, again.waiting_bytes) == (2, 20)
        assert [found.name for found in again.todo(5)] == ["1.1.dcm", "1.2.dcm"]
        assert len(list(again.rows())) == len(again.due_reports(0, 5)) == 1


def test_a_photograph_is_scored_once(tmp_path: Path) -> None:
    with NodeStore(tmp_path / "node.sqlite") as store:
        take(store, "1.2")
        (photograph,) = store.todo(1)
        store.finish(photograph, row("x"), b"", ("9.1", b"report"))
        with pytest.raises(sqlite3.IntegrityError):
            store.finish(photograph, row("y"), b"", ("9.2", b"report"))
        assert len(list(store.rows())) == store.unsent() == 1


def test_reports_are_sent_later_where_they_were_refused(tmp_path: Path) -> None:
    with NodeStore(tmp_path / "node.sqlite") as store:
        for number in range(3):
            take(store, f"1.{number}")
            finish(store)
        store.postpone(1, due_s=100.0)
        assert [report.number for report in store.due_reports(99, 5)] == [2, 3]
        assert [report.number for report in store.due_reports(101, 5)] == [2, 3, 1]


def test_pictures_are_compared(tmp_path: Path) -> None:
    with NodeStore(tmp_path / "node.sqlite") as store:
        take(store, "1.2")
        finish(store, b"pixels")
        store.take("second.dcm", header("1.2"), sha256="b", size=1)
        (photograph,) = store.todo(1)
        assert store.other_picture(photograph, b"pixels") == ""
        assert store.other_picture(photograph, b"others") == "1.2"
        assert (store.first_with_pixels(b"pixels"), store.first_with_pixels(b"others")) == ("1.2", "")


def test_refusals_are_counted_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with NodeStore(tmp_path / "node.sqlite") as store:
        assert store.refuse("=EVIL()", "not allowed", "t1")
        assert not store.refuse("=EVIL()", "not allowed", "t2")
        (refusal,) = store.refusals()
        assert (refusal.sender, refusal.number, refusal.first, refusal.last) == ("'=EVIL()", 2, "t1", "t2")
        monkeypatch.setattr("dr_pipeline.clinic.node.store._MAX_REFUSALS", 10)
        for number in range(30):
            store.refuse(f"S{number}", "not allowed", "t3")
        found = store.refusals()
        assert len(found) == 11
        assert sum(each.number for each in found) == 32


def test_patients_leave_the_state(tmp_path: Path) -> None:
    with NodeStore(tmp_path / "node.sqlite") as store:
        take(store, "1.2")
        assert any(secret.encode() in _bytes(tmp_path) for secret in SECRETS)
        finish(store)
        store.delivered(1)
    assert not any(secret.encode() in _bytes(tmp_path) for secret in SECRETS)


def _bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_one_node_at_a_time(tmp_path: Path) -> None:
    with NodeStore(tmp_path / "node.sqlite"), pytest.raises(DataError, match="another node"):
        NodeStore(tmp_path / "node.sqlite")


def test_no_database(tmp_path: Path) -> None:
    (tmp_path / "node.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(DataError, match="cannot be opened"):
        NodeStore(tmp_path / "node.sqlite")


def test_another_version(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "node.sqlite") as db:
        db.execute("PRAGMA user_version = 9999")
    with pytest.raises(DataError, match="another version"):
        NodeStore(tmp_path / "node.sqlite")


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    with NodeStore(tmp_path / "queue" / "node.sqlite"):
        assert (tmp_path / "queue").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "queue" / "node.sqlite").stat().st_mode & 0o777 == 0o600
