import errno
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.bundle.signature import make_keys
from dr_pipeline.clinic.node import node
from dr_pipeline.clinic.node.address import Destination
from dr_pipeline.clinic.node.admission import Limits, StoreStatus
from dr_pipeline.clinic.node.inbox import Inbox
from dr_pipeline.clinic.node.node import NodeSettings, Scoring
from dr_pipeline.clinic.node.store import NodeStore
from dr_pipeline.errors import BundleError
from dr_pipeline.schema import Status
from dr_pipeline.scoring.outputs import GrowingTable
from dr_pipeline.tables.predictions import PredictionRow, read_predictions
from tests.factories.bundles import make_bundle
from tests.factories.clinic import clinic_photograph, sop_instance
from tests.factories.dicom import OP_8_BIT
from tests.factories.scoring import DrawnScores


@dataclass
class Clinic:
    """A node without processes and network: scores are drawn."""

    settings: NodeSettings
    store: NodeStore
    inbox: Inbox
    scoring: Scoring
    stop: threading.Event = field(default_factory=threading.Event)

    def offer(self, *numbers: int) -> None:
        for number in numbers:
            data = clinic_photograph(number, seed=1, side_px=64)
            answer = self.inbox.offer(data, sop_class=OP_8_BIT, sop_instance=sop_instance(number), sender="CAMERA")
            assert answer.status is StoreStatus.STORED

    def run(self) -> list[PredictionRow]:
        """Until nothing waits and the table is whole."""

        def end() -> None:
            if self.store.waiting == 0 and len(read_predictions(self.settings.table)) == self.store.num_rows:
                self.stop.set()

        self.scoring.run(self.stop, each_time=end)
        return read_predictions(self.settings.table)


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
    monkeypatch.setattr(node, "_TRY_AGAIN_S", 0.0)
    bundle, queue, limits = make_bundle(tmp_path / "bundle"), tmp_path / "queue", Limits(reserve_bytes=0)
    settings = NodeSettings(
        title="N",
        host="",
        port=0,
        senders=("CAMERA",),
        bundle=bundle,
        queue=queue,
        destination=Destination("P", "h", 1),
        site="",
        salt="s",
        keep=False,
        tls=None,
        send_tls=False,
        workers=2,
        time_limit_s=60.0,
        limits=limits,
    )
    with NodeStore(queue / "node.sqlite") as store:
        inbox = Inbox(settings.photographs, store, limits, pace=9)
        scoring = Scoring(settings, identify_bundle(bundle), store, inbox, DrawnScores(), lambda: None)
        yield Clinic(settings, store, inbox, scoring)


def test_each_has_a_row_and_a_report_in_the_order_of_arrival(clinic: Clinic) -> None:
    clinic.offer(*range(7))
    assert [row.path for row in clinic.run()] == [f"{sop_instance(number)}.dcm" for number in range(7)]
    assert len(clinic.store.due_reports(0, 99)) == 7
    assert list(clinic.settings.photographs.iterdir()) == []


@pytest.mark.parametrize("what", ["table", "state"])
def test_a_disk_that_is_full_for_a_while(clinic: Clinic, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    owner, name = (GrowingTable, "add") if what == "table" else (NodeStore, "finish")
    works, calls = getattr(owner, name), []

    def sometimes(*args: object) -> None:
        calls.append(args)
        if len(calls) in (2, 3):
            raise OSError(errno.ENOSPC, "No space left on device")
        works(*args)

    monkeypatch.setattr(owner, name, sometimes)
    clinic.offer(*range(5))
    assert [row.path for row in clinic.run()] == [f"{sop_instance(number)}.dcm" for number in range(5)]
    assert len(clinic.store.due_reports(0, 99)) == 5


def test_a_header_that_gives_no_report_stops_nobody(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    works = node.make_report

    def fails(row, header, *, now):
        if header.elements["PatientName"]:
            raise ValueError("Zyxwvut")
        return works(row, header, now=now)

    monkeypatch.setattr(node, "make_report", fails)
    clinic.offer(0, 1)
    assert len(clinic.run()) == len(clinic.store.due_reports(0, 99)) == 2


def test_a_worker_that_dies_leaves_a_row_with_the_hash_of_what_came(clinic: Clinic, monkeypatch) -> None:
    from dr_pipeline.scoring.score import failed

    clinic.scoring.engine = type("Dying", (), {"results": lambda _, items: ((i, failed("it died")) for i in items)})()
    clinic.offer(3)
    (row,) = clinic.run()
    assert (row.status, row.reason) == (Status.FAILED, "it died")
    assert len(row.sha256) == 64


def test_another_bundle_stops_the_node(clinic: Clinic) -> None:
    clinic.offer(0)
    (clinic.settings.bundle / "SHA256SUMS").write_text("0" * 64 + "  model.onnx\n")
    with pytest.raises(BundleError):
        clinic.run()
    assert clinic.store.waiting == 1


def test_a_bundle_that_no_trusted_key_signed_starts_no_node(clinic: Clinic, tmp_path: Path) -> None:
    pytest.importorskip("minisign", reason="the extra signing: absent")
    make_keys(tmp_path / "key", "")
    settings = replace(clinic.settings, keys=tmp_path / "key.pub", queue=tmp_path / "other")
    with pytest.raises(BundleError, match="is not signed"):
        node.run_node(settings, clinic.stop, started=lambda _: pytest.fail("it started"))
    assert not settings.queue.exists()
