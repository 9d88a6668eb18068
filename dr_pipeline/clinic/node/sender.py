"""Sends reports to their destination until it has them: with back-off, each report its own."""

import io
import sqlite3
import ssl
import threading
import time
from typing import Self

from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.sop_class import ComprehensiveSRStorage  # type: ignore[attr-defined]

from dr_pipeline.clinic.node.address import Destination
from dr_pipeline.clinic.node.store import NodeStore, Report
from dr_pipeline.logs import logger

_BATCH = 16
_FIRST_WAIT_S, _MAX_WAIT_S = 1.0, 300.0
# A report may be committed without this thread being woken, where the commit of its delivery failed.
_LOOK_AGAIN_S = 5.0
_TIMEOUT_S = 30.0
# Stored; stored with coerced elements, with ignored ones, although the data set does not match (PS3.4, table B.2-1).
_HAS_IT = frozenset({0x0000, 0xB000, 0xB006, 0xB007})


def wait_s(attempts: int) -> float:
    """How long after so many failed attempts the next one is made."""
    return float(min(_FIRST_WAIT_S * 2 ** min(attempts, 30), _MAX_WAIT_S))


class ReportSender(threading.Thread):
    """Sends what the state holds, in a thread of its own; a context manager, which ends it.

    A report is marked as delivered after the destination has it: one that was sent as the node was killed is sent
    again, with the same UID and the same bytes, which an archive stores once.

    Args:
        store: The node's state.
        title: The node's AE title.
        destination: Where reports go.
        tls: None: without TLS.
    """

    def __init__(
        self, store: NodeStore, *, title: str, destination: Destination, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(name="report-sender", daemon=True)
        self._store, self._destination = store, destination
        self._tls = (tls, destination.host) if tls else None
        self._ae = AE(ae_title=title)
        self._ae.acse_timeout = self._ae.dimse_timeout = self._ae.network_timeout = _TIMEOUT_S
        self._ae.connection_timeout = _TIMEOUT_S
        self._ae.add_requested_context(ComprehensiveSRStorage)
        self._news, self._stopped = threading.Event(), threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._news.set()
        self.join(2 * _TIMEOUT_S)

    def wake(self) -> None:
        """There is a report to send."""
        self._news.set()

    def run(self) -> None:
        """Sends until it is stopped."""
        failures = 0
        while not self._stopped.is_set():
            self._news.clear()
            try:
                reports = self._store.due_reports(time.time(), _BATCH)
                if reports and not self._send(reports):
                    failures += 1
                    if failures == 1 or wait_s(failures) >= _MAX_WAIT_S:
                        logger.warning("%s cannot be reached; reports are kept and sent later", self._destination)
                    self._stopped.wait(wait_s(failures))
                    continue
            except sqlite3.OperationalError as error:  # the disk is full: what was sent is sent again
                logger.warning("the queue cannot be written (%s); trying again", error)
                self._stopped.wait(_LOOK_AGAIN_S)
                continue
            if reports and failures:
                logger.warning("%s takes reports again", self._destination)
            failures = failures if not reports else 0
            if len(reports) < _BATCH:
                self._news.wait(_LOOK_AGAIN_S)

    def _send(self, reports: list[Report]) -> bool:
        """Sends some reports by one association; returns whether the destination answered each."""
        association = self._ae.associate(
            self._destination.host, self._destination.port, ae_title=self._destination.title, tls_args=self._tls
        )
        if not association.is_established:
            return False
        try:
            for report in reports:
                if self._stopped.is_set():
                    return True
                dataset = dcmread(io.BytesIO(report.data))
                try:
                    status = association.send_c_store(dataset).get("Status")
                except (RuntimeError, ValueError):  # the association ended, or does not take reports
                    return False
                if status is None:
                    return False
                if status in _HAS_IT:
                    self._store.delivered(report.number)
                    continue
                self._store.postpone(report.number, time.time() + wait_s(report.attempts))
                logger.warning("%s refused a report with status %04X; it is sent again", self._destination, status)
            return True
        finally:
            association.release()
