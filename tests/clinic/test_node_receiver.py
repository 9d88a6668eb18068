from types import SimpleNamespace

import pytest

from dr_pipeline.clinic.node.admission import Limits
from dr_pipeline.clinic.node.receiver import PHOTOGRAPH_CLASSES, TRANSFER_SYNTAXES, _BoundedReads, _title
from dr_pipeline.fundus.dicom.image import _SYNTAXES
from dr_pipeline.fundus.dicom.modality import require_photograph

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
