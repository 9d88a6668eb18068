"""The node's side towards cameras and archives: C-ECHO and C-STORE (pynetdicom), within bounds."""

import ssl
import time
from collections.abc import Callable
from typing import Any, Self

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dr_pipeline.clinic.node.admission import Limits, StoreStatus
from dr_pipeline.clinic.node.inbox import Inbox
from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.fundus.dicom.codec import JPEG_2000, JPEG_BASELINE, JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LS, RLE
from dr_pipeline.fundus.dicom.elements import NATIVE

# What the pixel path reads: photographs of the eye, photographs of anything, and screenshots, which must be of the
# modality OP or XC (fundus/dicom/modality.py). Another class is refused when an association is negotiated.
PHOTOGRAPH_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.77.1.5.1",  # ophthalmic photography, 8 bits
    "1.2.840.10008.5.1.4.1.1.77.1.5.2",  # ophthalmic photography, 16 bits
    "1.2.840.10008.5.1.4.1.1.77.1.5.5",  # wide field, stereographic projection
    "1.2.840.10008.5.1.4.1.1.77.1.5.6",  # wide field, 3D coordinates
    "1.2.840.10008.5.1.4.1.1.77.1.4",  # VL photographic
    "1.2.840.10008.5.1.4.1.1.7",  # secondary capture
    "1.2.840.10008.5.1.4.1.1.7.2",  # secondary capture, grey
    "1.2.840.10008.5.1.4.1.1.7.4",  # secondary capture, colour
)
# A photograph is stored in the encoding in which it comes.
TRANSFER_SYNTAXES = tuple(sorted(NATIVE | {RLE, JPEG_BASELINE, JPEG_EXTENDED} | JPEG_LOSSLESS | JPEG_LS | JPEG_2000))
# Associations that were opened and not yet negotiated, per association that may be.
_OPENED_PER_ASSOCIATION = 4
# A connection that does not ask for an association takes the place of one so long.
_NEGOTIATION_S = 10.0
# Requests that a peer sends before the earlier ones are answered; one that was not negotiated is enough.
_MAX_MESSAGES_AHEAD = 4
# ErrorComment (0000,0902) is a long string of ASCII.
_MAX_COMMENT = 64
ANY_SENDER = "*"

# pynetdicom would log the identifiers of requests.
_config.LOG_HANDLER_LEVEL = "none"


class Receiver:
    """Listens until it is closed; a context manager.

    Args:
        inbox: Takes the photographs.
        title: The node's AE title, by which it must be called.
        address: Host (empty: all interfaces) and port.
        senders: Calling AE titles that are accepted; `*` accepts any.
        limits: Bounds of an association.
        tls: None: without TLS.

    Raises:
        EnvironmentProblem: The port cannot be used.
    """

    def __init__(
        self,
        inbox: Inbox,
        *,
        title: str,
        address: tuple[str, int],
        senders: tuple[str, ...],
        limits: Limits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._inbox, self._limits = inbox, limits
        self._since_s: dict[Association, float] = {}
        self._senders = senders
        ae = AE(ae_title=title)
        ae.require_called_aet = True
        ae.require_calling_aet = [] if ANY_SENDER in senders else list(senders)
        ae.maximum_associations = limits.max_associations
        ae.maximum_pdu_size = limits.max_pdu_bytes
        ae.network_timeout = ae.dimse_timeout = limits.idle_s
        ae.acse_timeout = _NEGOTIATION_S
        ae.add_supported_context(Verification)
        for uid in PHOTOGRAPH_CLASSES:
            ae.add_supported_context(uid, list(TRANSFER_SYNTAXES))
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_DIMSE_RECV, self._on_message),
            (evt.EVT_REJECTED, self._on_rejected),
            (evt.EVT_ACCEPTED, self._on_accepted),
            (evt.EVT_C_STORE, self._on_store),
        ]
        try:
            server = ae.start_server(address, block=False, ssl_context=tls, evt_handlers=handlers)
        except OSError as error:
            raise EnvironmentProblem(
                f"port {address[1]} cannot be used: {error.strerror or error}", todo="name another --port or --host"
            ) from None
        assert server is not None  # noqa: S101 - not blocking
        self._server = server
        most = _OPENED_PER_ASSOCIATION * limits.max_associations
        server.verify_request = lambda *_: len(server.active_associations) < most  # type: ignore[method-assign]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Accepts no more, and aborts what goes on: senders keep what was not answered."""
        for association in self._server.active_associations:
            _end(association)
        self._server.shutdown()

    def end_long_associations(self) -> None:
        """Aborts associations that last longer than they may."""
        alive = set(self._server.active_associations)
        now_s = time.monotonic()
        for association, since_s in list(self._since_s.items()):
            if association not in alive and now_s - since_s > self._limits.idle_s:  # not only about to begin
                self._since_s.pop(association, None)
            elif association in alive and now_s - since_s > self._limits.max_association_s:
                self._inbox.refuse(_sender(association), "the association lasted longer than it may")
                self._since_s.pop(association, None)
                _end(association)

    def _on_open(self, event: evt.Event) -> None:
        """Bounds what the connection reads: pynetdicom itself reads whatever length a peer announces."""
        self._since_s[event.assoc] = time.monotonic()
        connection: Any = event.assoc.dul.socket
        connection.socket.settimeout(self._limits.idle_s)
        connection.recv = _BoundedReads(event.assoc, connection.socket.recv, self._limits)

    def _on_message(self, event: evt.Event) -> None:
        connection: Any = event.assoc.dul.socket
        if connection is not None and isinstance(connection.recv, _BoundedReads):
            connection.recv.message_ended()

    def _on_rejected(self, event: evt.Event) -> None:
        association, request = event.assoc, event.assoc.requestor.primitive
        called = _title(request.called_ae_title if request else "")
        if ANY_SENDER not in self._senders and _sender(association) not in self._senders:
            reason = "the calling AE title is not allowed"
        elif called != association.acceptor.ae_title.strip():
            reason = f"it called {called}, which is another AE title"
        else:
            reason = "too many associations at a time"
        self._inbox.refuse(_sender(association), reason)

    def _on_accepted(self, event: evt.Event) -> None:
        """Counts what a sender would send and this node does not take, by class."""
        taken = {context.abstract_syntax for context in event.assoc.accepted_contexts}
        for context in event.assoc.rejected_contexts:
            if (uid := context.abstract_syntax) not in taken:
                self._inbox.refuse(_sender(event.assoc), f"objects of the class {_class_name(uid)} are no photographs")
                taken.add(uid)

    def _on_store(self, event: evt.Event) -> Dataset:
        response = Dataset()
        try:
            request: Any = event.request
            answer = self._inbox.offer(
                event.encoded_dataset(),
                sop_class=str(request.AffectedSOPClassUID),
                sop_instance=str(request.AffectedSOPInstanceUID),
                sender=_sender(event.assoc),
            )
            status, reason = answer.status, answer.reason
        except Exception as error:  # answered, so that the sender keeps the photograph; pynetdicom would log values
            status, reason = StoreStatus.CANNOT_UNDERSTAND, f"internal error: {type(error).__name__}"
            self._inbox.refuse(_sender(event.assoc), reason)
        response.Status = int(status)
        if reason:
            response.ErrorComment = reason.encode("ascii", "replace").decode()[:_MAX_COMMENT]
        else:
            self._inbox.pace()
        return response


class _BoundedReads:
    """Reads of one connection: exact lengths, each within a unit's limit and a message's."""

    def __init__(self, association: Association, recv: Callable[[int], bytes], limits: Limits) -> None:
        self._association, self._recv = association, recv
        # An association request may list 128 contexts with all their syntaxes.
        self._max_unit, self._max_message = limits.max_pdu_bytes + (1 << 16), limits.max_object_bytes + (1 << 20)
        self._read = 0

    def __call__(self, length: int) -> bytearray:
        self._read += length
        ahead = self._association.dimse.msg_queue.qsize()
        if length > self._max_unit or self._read > self._max_message or ahead > _MAX_MESSAGES_AHEAD:
            raise ConnectionAbortedError("the peer sends more than was agreed")
        data = bytearray()
        while len(data) < length:
            piece = self._recv(min(length - len(data), 1 << 16))
            if not piece:  # closed by the peer, which pynetdicom recognises by the length
                break
            data += piece
        return data

    def message_ended(self) -> None:
        """Begins to count the next message."""
        self._read = 0


def _end(association: Association) -> None:
    """Ends an association; one that was not negotiated yet cannot be aborted."""
    connection = association.dul.socket
    if association.is_established:
        association.abort()
    elif connection is not None:
        connection.close()


def _sender(association: Association) -> str:
    return _title(association.requestor.ae_title)


def _title(title: str) -> str:
    """An AE title as the peer sent it, without what would disturb a log or a table."""
    return "".join(sign if " " <= sign <= "~" else "?" for sign in title).strip()[:16] or "(none)"


def _class_name(uid: Any) -> str:
    """The standard's name; never the peer's own text."""
    return str(uid.name) if uid is not None and uid.name != str(uid) else "not of the standard"
