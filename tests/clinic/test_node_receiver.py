import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dr_pipeline.clinic.node.admission import Limits
from dr_pipeline.clinic.node.inbox import Inbox
from dr_pipeline.clinic.node.receiver import PHOTOGRAPH_CLASSES, TRANSFER_SYNTAXES, Receiver, _BoundedReads, _title
from dr_pipeline.clinic.node.store import NodeStore
from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.fundus.dicom.image import _SYNTAXES
from dr_pipeline.fundus.dicom.modality import require_photograph
from tests.factories.clinic import clinic_photograph, send, wait_until

MIB = 1 << 20


class Queue:
    def __init__(self, ahead: int) -> None:
        self.ahead = ahead

    def qsize(self) -> int:
        return self.ahead


def reads(*, ahead: int = 0, pieces: tuple[bytes, ...] = ()) -> _BoundedReads:
    association = SimpleNamespace(dimse=SimpleNamespace(msg_queue=Queue(ahead)))
    todo = list(pieces)
    limits = Limits(max_object_bytes=10 * MIB, max_pdu_bytes=MIB)
    return _BoundedReads(association, lambda length: todo.pop(0) if pieces else bytes(length), limits)


def test_exact_lengths_are_read() -> None:
    assert reads(pieces=(b"ab", b"c", b"def"))(6) == b"abcdef"
    assert reads(pieces=(b"ab", b""))(6) == b"ab"  # closed by the peer
    assert len(reads()(300_000)) == 300_000


def test_a_unit_is_bounded() -> None:
    with pytest.raises(ConnectionAbortedError):
        reads()(2 * MIB)


def test_a_message_is_bounded() -> None:
    bounded = reads()
    for _ in range(3):
        for _ in range(10):
            bounded(MIB)
        bounded.message_ended()
    for _ in range(11):
        bounded(MIB)
    with pytest.raises(ConnectionAbortedError):
        bounded(MIB)


def test_messages_ahead_are_bounded() -> None:
    reads(ahead=4)(6)
    with pytest.raises(ConnectionAbortedError):
        reads(ahead=5)(6)


@pytest.mark.parametrize(
    ("title", "shown"), [(" CAMERA ", "CAMERA"), ("", "(none)"), ("A\nB\x1b[0m", "A?B?[0m"), ("x" * 40, "x" * 16)]
)
def test_a_title_cannot_disturb_a_log(title: str, shown: str) -> None:
    assert _title(title) == shown


def test_the_classes_and_encodings_are_those_that_the_pixel_path_reads() -> None:
    for uid in PHOTOGRAPH_CLASSES:
        require_photograph("OP", uid)
    assert set(TRANSFER_SYNTAXES) == _SYNTAXES - {""}


LIMITS = Limits(max_associations=3, max_association_s=1.0, max_waiting=2, reserve_bytes=0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    with NodeStore(tmp_path / "node.sqlite") as opened:
        yield opened


@pytest.fixture
def receiver(tmp_path: Path, store: NodeStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr("dr_pipeline.clinic.node.receiver._NEGOTIATION_S", 2.0)
    inbox = Inbox(tmp_path / "photographs", store, LIMITS, pace=9)
    with Receiver(inbox, title="DRNODE", address=("127.0.0.1", 0), senders=("CAMERA",), limits=LIMITS) as listening:
        yield listening


def reasons(store: NodeStore) -> list[str]:
    return [row.reason for row in store.refusals()]


def takes(receiver: Receiver, *photographs: bytes) -> list[int]:
    try:
        return send(receiver.port, list(photographs))
    except ConnectionRefusedError:
        return []


def test_a_full_queue_is_out_of_resources(receiver: Receiver, store: NodeStore) -> None:
    photographs = [clinic_photograph(number, seed=1, side_px=64) for number in range(4)]
    assert takes(receiver, *photographs) == [0, 0, 0xA700, 0xA700]
    assert [(row.sender, row.number) for row in store.refusals()] == [("CAMERA", 2)]


def test_peers_that_break_the_protocol_harm_nobody(receiver: Receiver, store: NodeStore) -> None:
    peers = [socket.create_connection(("127.0.0.1", receiver.port)) for _ in range(3)]
    peers[1].sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFF0))  # an association request of 4 GB
    peers[2].sendall(b"GET / HTTP/1.1\r\n\r\n")
    for peer in peers[1:]:
        peer.settimeout(20)
        assert peer.recv(1) in (b"", b"\x07")  # closed, or aborted

    def bounded() -> bool:
        receiver.end_long_associations()
        return "the association lasted longer than it may" in reasons(store)

    wait_until(bounded)  # the first, which is silent
    wait_until(lambda: takes(receiver, clinic_photograph(1, seed=1, side_px=64)) == [0])
    for peer in peers:
        peer.close()


def test_a_flood_of_connections_is_bounded(receiver: Receiver, store: NodeStore) -> None:
    peers = [socket.create_connection(("127.0.0.1", receiver.port)) for _ in range(30)]
    peers[-1].settimeout(20)
    assert peers[-1].recv(1) == b""  # closed at once
    assert len(receiver._server.active_associations) < 20  # 12, and those that just begin
    for peer in peers:
        peer.close()
    wait_until(lambda: takes(receiver, clinic_photograph(1, seed=1, side_px=64)) == [0])


def test_a_port_that_is_taken(receiver: Receiver) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be used"):
        Receiver(receiver._inbox, title="A", address=("127.0.0.1", receiver.port), senders=("*",), limits=LIMITS)
