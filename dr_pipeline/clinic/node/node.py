"""The node: photographs in, scored in the order of their arrival, reports out, until it is stopped."""

import io
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from dr_pipeline.bundle.identity import BundleIdentity, identify_bundle
from dr_pipeline.bundle.signature import trusted_identity
from dr_pipeline.clinic.node.address import Destination
from dr_pipeline.clinic.node.admission import Limits
from dr_pipeline.clinic.node.inbox import Inbox
from dr_pipeline.clinic.node.receiver import Receiver
from dr_pipeline.clinic.node.sender import ReportSender
from dr_pipeline.clinic.node.store import NodeStore, Photograph
from dr_pipeline.clinic.node.tls import TlsFiles
from dr_pipeline.clinic.structured_report import make_report, report_uid
from dr_pipeline.engines.engine import Engine
from dr_pipeline.engines.local import LocalEngine
from dr_pipeline.errors import BundleError
from dr_pipeline.files import atomic_write
from dr_pipeline.logs import logger
from dr_pipeline.scoring.outputs import Format, GrowingTable, encoder
from dr_pipeline.scoring.prediction_rows import make_row
from dr_pipeline.scoring.score import Score, failed
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.task import ScoringTask
from dr_pipeline.tables.predictions import PREDICTIONS, PredictionRow
from dr_pipeline.tables.refusals import REFUSALS

# Photographs that the engine gets at once, per worker: those that arrive meanwhile wait for all of them.
_BATCH_PER_WORKER = 1
_POLL_S = 0.25
_TRY_AGAIN_S = 5.0


@dataclass(frozen=True)
class NodeSettings:
    """What a node is started with.

    Attributes:
        title: Its AE title.
        host: Interface to listen on; empty: all.
        port: To listen on; 0: a free one.
        senders: Calling AE titles that are accepted.
        bundle: The bundle: its folder, or a `.drbundle` file.
        queue: Folder of everything that the node writes; only its owner may enter it.
        destination: Where reports are sent.
        site: Of the photographs; empty where unknown.
        salt: Of the patients' pseudonyms in the table.
        keep: Whether photographs stay in the queue after they were scored.
        tls: None: without TLS.
        send_tls: Whether reports are sent by TLS too.
        workers: Processes that score.
        time_limit_s: Of one photograph.
        limits: What is accepted.
        keys: Trusted public keys, one of which must have signed the bundle; None: no signature is asked for.
    """

    title: str
    host: str
    port: int
    senders: tuple[str, ...]
    bundle: Path
    queue: Path
    destination: Destination
    site: str
    salt: str
    keep: bool
    tls: TlsFiles | None
    send_tls: bool
    workers: int
    time_limit_s: float
    limits: Limits
    keys: Path | None = None

    @property
    def table(self) -> Path:
        """Where the rows are."""
        return self.queue / "predictions.csv"

    @property
    def photographs(self) -> Path:
        """Where the photographs are until they are scored, or longer with `keep`."""
        return self.queue / "photographs"

    @property
    def refusals(self) -> Path:
        """Where refused requests are counted."""
        return self.queue / "refusals.csv"


@dataclass(frozen=True)
class NodeSummary:
    """The state of a node when it was stopped.

    Attributes:
        by_status: Rows of each status.
        waiting: Photographs that wait for their score.
        unsent: Reports that wait to be sent.
        refused: Requests that were refused.
    """

    by_status: dict[str, int]
    waiting: int
    unsent: int
    refused: int


def run_node(settings: NodeSettings, stop: threading.Event, *, started: Callable[[int], None]) -> NodeSummary:
    """Runs a node until `stop` is set; the next call with the same queue goes on.

    Args:
        settings: See there.
        stop: Checked several times a second; a photograph in work is finished first.
        started: Called with the port when photographs are accepted.

    Raises:
        BundleError: The bundle is damaged or not signed as required, or was changed while the node runs.
        DataError: Another node uses the queue; no threshold was fitted for the site.
        EnvironmentProblem: The port cannot be used; workers do not start.
    """
    bundle = trusted_identity(settings.bundle, settings.keys)
    task = ScoringTask(
        settings.bundle.absolute(), bundle.bundle_id, settings.site, settings.salt, places=(settings.bundle,)
    )
    engine = LocalEngine(task, workers=settings.workers, time_limit_s=settings.time_limit_s)
    with NodeStore(settings.queue / "node.sqlite") as store, engine:
        for _ in engine.results([Entry("", "", problem="start")]):
            pass  # a worker has loaded and verified the bundle, before anything is accepted
        inbox = Inbox(settings.photographs, store, settings.limits, pace=settings.workers)
        if removed := inbox.clean(keep=settings.keep):
            logger.info("removed %d files that an earlier session left", removed)
        server_tls = settings.tls.server() if settings.tls else None
        client_tls = settings.tls.client() if settings.tls and settings.send_tls else None
        with (
            ReportSender(store, title=settings.title, destination=settings.destination, tls=client_tls) as sender,
            Receiver(
                inbox,
                title=settings.title,
                address=(settings.host, settings.port),
                senders=settings.senders,
                limits=settings.limits,
                tls=server_tls,
            ) as receiver,
        ):
            started(receiver.port)
            scoring = Scoring(settings, bundle, store, inbox, engine, sender.wake)
            scoring.run(stop, each_time=receiver.end_long_associations)
        _write_refusals(settings.refusals, store)
        refused = sum(row.number for row in store.refusals())
        return NodeSummary(store.by_status(), store.waiting, store.unsent(), refused)


@dataclass
class Scoring:
    """What the node does with the photographs that wait: scores them in order, and stores rows and reports.

    Attributes:
        settings: Those of the node.
        bundle: The bundle's identity at the start.
        store: The node's state.
        inbox: Where the photographs are.
        engine: Entered.
        reported: Called when there is a report to send.
    """

    settings: NodeSettings
    bundle: BundleIdentity
    store: NodeStore
    inbox: Inbox
    engine: Engine[Entry, Score]
    reported: Callable[[], None]

    def run(self, stop: threading.Event, *, each_time: Callable[[], None]) -> None:
        """Scores until `stop` is set; calls `each_time` at least several times a second where nothing waits."""
        self._table = self._new_table()
        try:
            while not stop.is_set():
                each_time()
                try:
                    self._write_what_is_missing()
                    for photograph, score in self._scored(stop):
                        self._finish(photograph, score)
                except (OSError, sqlite3.OperationalError) as error:  # a full disk; what was not stored is scored again
                    logger.warning("the queue cannot be written (%s); trying again", _reason(error))
                    stop.wait(_TRY_AGAIN_S)
        finally:
            self._table.close()

    def _new_table(self) -> GrowingTable[PredictionRow]:
        return GrowingTable(self.settings.table, encoder(Format.CSV, PREDICTIONS), self.store.rows())

    def _write_what_is_missing(self) -> None:
        """Rows that a full disk kept out of the table, and new refusals."""
        if self._table.num_rows != self.store.num_rows:
            table = self._new_table()
            self._table.close()
            self._table = table
        if self.store.changed_refusals:
            _write_refusals(self.settings.refusals, self.store)

    def _scored(self, stop: threading.Event) -> Iterator[tuple[Photograph, Score]]:
        """What waits, with its scores, in the order of arrival; waits a moment where nothing does."""
        photographs = self.store.todo(_BATCH_PER_WORKER * self.settings.workers)
        if not photographs:
            self.inbox.wait_for_arrival(_POLL_S)
            return
        if identify_bundle(self.settings.bundle) != self.bundle:
            raise BundleError(
                "the bundle was changed while the node runs",
                where=str(self.settings.bundle),
                todo="start the node again; what waits is scored with the new bundle",
            )
        entries = [Entry(photograph.name, str(self.inbox.path(photograph.name))) for photograph in photographs]
        for photograph, (_, score) in zip(photographs, self.engine.results(entries), strict=True):
            yield photograph, score
            if stop.is_set():
                return

    def _finish(self, photograph: Photograph, score: Score) -> None:
        row, pixel_hash = self._row(photograph, score)
        uid = report_uid(photograph.sop_instance, row.sha256, row.bundle_id)
        try:
            report = make_report(row, photograph.header, now=datetime.now())
        except Exception as error:  # one header must not stop the node; the study's UID leads to the patient
            logger.warning("a report is sent without the patient's data (%s), please report it", type(error).__name__)
            bare = replace(photograph.header, elements=dict.fromkeys(photograph.header.elements, ""))
            report = make_report(row, bare, now=datetime.now())
        self.store.finish(photograph, row, pixel_hash, (uid, report))
        self.reported()
        self.inbox.scored(photograph.name, keep=self.settings.keep)
        self._table.add([row])

    def _row(self, photograph: Photograph, score: Score) -> tuple[PredictionRow, bytes]:
        """The row of a photograph, and the hash of its pixels."""
        pixel_hash = bytes.fromhex(score.pixel_hash)
        if pixel_hash and (other := self.store.other_picture(photograph, pixel_hash)):
            reason = f"another picture came before under the same SOP instance UID: {other}"
            score = replace(failed(reason, score.sha256), person=score.person)
        score = replace(
            score,
            sha256=photograph.sha256,  # a worker that died left none
            person=replace(score.person, site=self.settings.site),
        )
        row = make_row(
            Entry(photograph.name, ""),
            score,
            image_id=self.store.image_id(photograph.name),
            duplicate_of=self.store.first_with_pixels(pixel_hash) if pixel_hash else "",
            bundle_id=self.bundle.bundle_id,
        )
        return row, pixel_hash


def _write_refusals(path: Path, store: NodeStore) -> None:
    text = io.StringIO()
    write = REFUSALS.writer(text)
    for row in store.refusals():
        write(row)
    with atomic_write(path, private=True) as stream:
        stream.write(text.getvalue().encode())


def _reason(error: Exception) -> str:
    """Without the name of a file, which is a photograph's UID."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
