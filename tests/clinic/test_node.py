"""The node as a process of its own, with an archive in this process."""

import signal
from pathlib import Path

import pytest

from dr_pipeline.schema import Status
from dr_pipeline.tables.predictions import read_predictions
from dr_pipeline.tables.refusals import read_refusals
from tests.factories.bundles import make_bundle
from tests.factories.clinic import (
    archive,
    cited,
    clinic_photograph,
    running_node,
    send,
    sop_instance,
    start_node,
    stop_node,
    wait_until,
)
from tests.factories.dicom import CT_IMAGE, SECRETS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("node") / "bundle")


def small(number: int, **fields: object) -> bytes:
    return clinic_photograph(number, seed=number % 5, side_px=160, **fields)


def test_what_arrives_is_scored_and_reported_and_the_rest_is_named(tmp_path: Path, bundle: Path) -> None:
    whole = small(3)
    damaged = whole[:-4000] + bytes(3900) + whole[-100:]
    queue = tmp_path / "queue"
    with archive() as pacs, running_node(queue, bundle, f"PACS@127.0.0.1:{pacs.port}", "--site", "") as node:
        photographs = [small(0), small(1, ImageLaterality=None), small(2, Modality="CT"), damaged]
        photographs += [small(4, SpecificCharacterSet="ISO_IR 100", PatientName="Zyxwvut^Jos\xe9")]
        assert send(node.port, photographs) == [0] * 5
        wait_until(lambda: len(pacs.received) == 5)
        # The same again; other pixels under a known UID; the same pixels with another header.
        other = clinic_photograph(0, seed=9, side_px=160)
        assert send(node.port, [small(0), other, small(0, PatientSex="M")]) == [0, 0, 0]
        wait_until(lambda: len(pacs.received) == 7)
        with pytest.raises(ConnectionRefusedError):
            send(node.port, [small(5)], title="STRANGER")
        with pytest.raises(ConnectionRefusedError):
            send(node.port, [small(5)], called="SOMEONE")
        with pytest.raises(ConnectionRefusedError):
            send(node.port, [small(5, SOPClassUID=CT_IMAGE)])
        assert send(node.port, [small(6, StudyInstanceUID=None)]) == [0xC000]
        log = stop_node(node)
    rows = read_predictions(queue / "predictions.csv")
    assert [row.status for row in rows[:5]] == [
        Status.SCORED,
        Status.SCORED,
        Status.FAILED,
        Status.FAILED,
        Status.SCORED,
    ]
    assert "another modality" in rows[2].reason
    assert (rows[1].eye, rows[4].eye) == ("", "left")
    assert rows[5].status is Status.FAILED
    assert rows[0].image_id in rows[5].reason
    assert (rows[6].status, rows[6].duplicate_of) == (Status.SCORED, rows[0].image_id)
    assert len(rows) == len(pacs.received) == pacs.count == 7
    assert sorted(map(cited, pacs.received.values())) == sorted(sop_instance(n) for n in (0, 0, 0, 1, 2, 3, 4))
    reasons = {(row.sender, row.reason) for row in read_refusals(queue / "refusals.csv")}
    assert len(reasons) == 4
    assert ("STRANGER", "the calling AE title is not allowed") in reasons
    table = (queue / "predictions.csv").read_text()
    assert not any(secret in log + table for secret in (*SECRETS, "Jos\xe9"))
    assert list((queue / "photographs").iterdir()) == []
    private = [path for path in queue.rglob("*") if path.name != "log.txt" and path.stat().st_mode & 0o077]
    assert private == []


def test_a_node_that_is_killed_scores_each_once_and_sends_each_report(tmp_path: Path, bundle: Path) -> None:
    queue, todo = tmp_path / "queue", list(range(12))
    with archive() as pacs:
        node = start_node(queue, bundle, f"PACS@127.0.0.1:{pacs.port}")
        for kill_after in (2, 3):
            sent = [send(node.port, [small(number)])[0] for number in todo[:kill_after]]
            assert sent == [0] * kill_after
            node.process.kill()
            node.process.wait()
            todo = todo[kill_after - 1 :]  # the last is sent again: its sender may not have got the answer
            node = start_node(queue, bundle, f"PACS@127.0.0.1:{pacs.port}")
        assert send(node.port, [small(number) for number in todo]) == [0] * len(todo)
        wait_until(lambda: len(pacs.received) == 12)
        stop_node(node)
    rows = read_predictions(queue / "predictions.csv")
    assert sorted(row.path for row in rows) == sorted(f"{sop_instance(number)}.dcm" for number in range(12))


def test_reports_wait_until_the_archive_is_there(tmp_path: Path, bundle: Path) -> None:
    with archive() as away:
        port = away.port
    with running_node(tmp_path / "queue", bundle, f"PACS@127.0.0.1:{port}") as node:
        assert send(node.port, [small(0)]) == [0]
        wait_until(lambda: "cannot be reached" in node.log.read_text())
        with pytest.raises(AssertionError, match="another node uses this queue"):
            start_node(tmp_path / "queue", bundle, f"PACS@127.0.0.1:{port}")
        with archive(port=port) as pacs:
            pacs.status = 0xA700
            wait_until(lambda: "refused a report" in node.log.read_text())
            pacs.status = 0x0000
            wait_until(lambda: len(pacs.received) == 1)
            node.process.send_signal(signal.SIGINT)
            assert node.process.wait(30) == 0
    assert "0 reports wait" in node.log.read_text()


def test_a_damaged_bundle_is_found_before_anything_is_accepted(tmp_path: Path, bundle: Path) -> None:
    damaged = make_bundle(tmp_path / "bundle")
    (damaged / "model.onnx").write_bytes(b"something else")
    with pytest.raises(AssertionError, match=r"model\.onnx"):
        start_node(tmp_path / "queue", damaged, "PACS@127.0.0.1:9")
