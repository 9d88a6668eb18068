"""The node's state: photographs that were taken, their rows and their reports, in one SQLite file.

A photograph goes taken → scored → reported. Each step is one transaction that is on the disk when it returns, so that
a node that is killed at any moment goes on where it was: a row and its report are stored together, once.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from dr_pipeline.clinic.photograph_header import PhotographHeader
from dr_pipeline.errors import DataError
from dr_pipeline.files import make_private_folder, spreadsheet_safe
from dr_pipeline.schema import Eye
from dr_pipeline.scoring.prediction_rows import image_ids
from dr_pipeline.tables.predictions import PREDICTIONS, PredictionRow
from dr_pipeline.tables.predictions import VERSION as PREDICTIONS_VERSION
from dr_pipeline.tables.refusals import RefusalRow

# Of the tables below, and of the rows in them.
_VERSION = 100 * 1 + PREDICTIONS_VERSION
_SCHEMA = f"""
    PRAGMA user_version = {_VERSION};
    CREATE TABLE photographs (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        sop_instance TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        header TEXT NOT NULL,
        UNIQUE (sop_instance, sha256)
    );
    CREATE TABLE rows (
        number INTEGER PRIMARY KEY REFERENCES photographs,
        image_id TEXT NOT NULL UNIQUE,
        pixel_hash BLOB,
        status TEXT NOT NULL,
        cells TEXT NOT NULL
    );
    CREATE INDEX rows_by_pixels ON rows (pixel_hash, number) WHERE pixel_hash IS NOT NULL;
    CREATE TABLE reports (
        number INTEGER PRIMARY KEY REFERENCES photographs,
        sop_instance TEXT NOT NULL UNIQUE,
        report BLOB,
        attempts INTEGER NOT NULL DEFAULT 0,
        due_s REAL NOT NULL DEFAULT 0
    );
    CREATE INDEX reports_by_due ON reports (due_s) WHERE report IS NOT NULL;
    CREATE TABLE refusals (
        sender TEXT NOT NULL, reason TEXT NOT NULL, number INTEGER NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL,
        PRIMARY KEY (sender, reason)
    ) WITHOUT ROWID;
"""
_WAITING = "photographs LEFT JOIN rows USING (number) WHERE cells IS NULL"
_PAGE = 1000
# Names of senders are the senders' own: a flood of them must not fill the disk.
_MAX_REFUSALS = 1000
_OTHERS = "(others)"


@dataclass(frozen=True)
class Photograph:
    """One photograph that was taken.

    Attributes:
        number: From 1, in the order of arrival.
        name: Of its file.
        sop_instance: Its UID.
        sha256: Of its bytes.
        size: Of its file, bytes.
        header: As it came; the state keeps it until the report is made.
    """

    number: int
    name: str
    sop_instance: str
    sha256: str
    size: int
    header: PhotographHeader


@dataclass(frozen=True)
class Report:
    """One report that waits to be sent.

    Attributes:
        number: Of its photograph.
        sop_instance: Its own UID.
        data: A DICOM file.
        attempts: To send it, which failed.
    """

    number: int
    sop_instance: str
    data: bytes
    attempts: int


class NodeStore:
    """The state, locked for this process until it is closed; its methods may be called from any thread.

    Args:
        path: Made where it is missing, with its folder; only its owner may read it.

    Raises:
        DataError: Another process uses it; it is damaged, or another version's.
        sqlite3.OperationalError: From any method, where the disk is full. Nothing of the call is stored then.
    """

    def __init__(self, path: Path) -> None:
        make_private_folder(path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, timeout=0, check_same_thread=False, isolation_level=None)
        try:
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA secure_delete = ON")  # headers and reports name patients
            self._open(path)
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.Error):
                raise _explained(error, path) from None
            raise
        self.changed_refusals = True

    def _open(self, path: Path) -> None:
        with self._transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._db.execute(statement)
            elif version != _VERSION:
                raise DataError(
                    f"the queue of another version of dr-pipeline ({version} instead of {_VERSION})",
                    where=str(path),
                    todo="finish it with that version, or name another --queue",
                )
        query = f"SELECT count(*), coalesce(sum(bytes), 0) FROM {_WAITING}"  # noqa: S608 - the constant above
        self.waiting, self.waiting_bytes = self._db.execute(query).fetchone()
        (self.num_rows,) = self._db.execute("SELECT count(*) FROM rows").fetchone()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN EXCLUSIVE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _select(self, query: str, *parameters: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(query, parameters).fetchall()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._db.close()

    def names_of(self, sop_instance: str) -> dict[str, str]:
        """The files that came under a UID: name by SHA-256."""
        query = "SELECT sha256, name FROM photographs WHERE sop_instance = ?"
        return dict(self._select(query, sop_instance))

    def is_waiting(self, name: str) -> bool:
        """Whether a file of this name waits for its score."""
        query = f"SELECT 1 FROM {_WAITING} AND name = ?"  # noqa: S608 - the constant above
        return bool(self._select(query, name))

    def is_taken(self, name: str) -> bool:
        """Whether a file of this name was taken."""
        return bool(self._select("SELECT 1 FROM photographs WHERE name = ?", name))

    def take(self, name: str, header: PhotographHeader, *, sha256: str, size: int) -> None:
        """Stores that a photograph was taken, whose file is on the disk."""
        insert = "INSERT INTO photographs (name, sop_instance, sha256, bytes, header) VALUES (?, ?, ?, ?, ?)"
        with self._transaction():
            self._db.execute(insert, (name, header.sop_instance, sha256, size, json.dumps(asdict(header))))
        with self._lock:
            self.waiting, self.waiting_bytes = self.waiting + 1, self.waiting_bytes + size

    def todo(self, count: int) -> list[Photograph]:
        """The photographs that have waited longest for their score."""
        query = (
            "SELECT number, name, sop_instance, sha256, bytes, header FROM photographs"
            " WHERE number > (SELECT coalesce(max(number), 0) FROM rows) ORDER BY number LIMIT ?"
        )
        return [
            Photograph(number, name, sop_instance, sha256, size, _parse_header(header))
            for number, name, sop_instance, sha256, size, header in self._select(query, count)
        ]

    def image_id(self, name: str) -> str:
        """The id of the row of a file: unique among the rows there are."""
        return next(i for i in image_ids(name) if not self._select("SELECT 1 FROM rows WHERE image_id = ?", i))

    def first_with_pixels(self, pixel_hash: bytes) -> str:
        """The id of the first row with these pixels; empty where there is none."""
        query = "SELECT image_id FROM rows WHERE pixel_hash = ? ORDER BY number LIMIT 1"
        return str(next(iter(self._select(query, pixel_hash)), ("",))[0])

    def other_picture(self, photograph: Photograph, pixel_hash: bytes) -> str:
        """The id of the first row under the same UID, where its pixels are others; else empty."""
        query = (
            "SELECT image_id, pixel_hash FROM rows JOIN photographs USING (number)"
            " WHERE sop_instance = ? AND pixel_hash IS NOT NULL ORDER BY number LIMIT 1"
        )
        found = self._select(query, photograph.sop_instance)
        return str(found[0][0]) if found and found[0][1] != pixel_hash else ""

    def finish(self, photograph: Photograph, row: PredictionRow, pixel_hash: bytes, report: tuple[str, bytes]) -> None:
        """Stores the row of the photograph that has waited longest, and its report (UID, file), together."""
        cells = json.dumps(PREDICTIONS.cells(row), separators=(",", ":"))
        values = (photograph.number, row.image_id, pixel_hash or None, row.status.value, cells)
        with self._transaction():
            self._db.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", values)
            insert = "INSERT INTO reports (number, sop_instance, report) VALUES (?, ?, ?)"
            self._db.execute(insert, (photograph.number, *report))
            self._db.execute("UPDATE photographs SET header = '' WHERE number = ?", (photograph.number,))
        with self._lock:
            self.waiting, self.waiting_bytes = self.waiting - 1, self.waiting_bytes - photograph.size
            self.num_rows += 1

    def rows(self) -> Iterator[PredictionRow]:
        """All rows, in order."""
        query, last = "SELECT number, cells FROM rows WHERE number > ? ORDER BY number LIMIT ?", 0
        while page := self._select(query, last, _PAGE):
            for last, cells in page:
                yield PREDICTIONS.parse(json.loads(cells), where=f"queue, photograph {last}")

    def due_reports(self, now_s: float, count: int) -> list[Report]:
        """The reports that wait to be sent and are due, those first that were tried least.

        Args:
            now_s: Seconds since 1970.
            count: At most so many.
        """
        query = (
            "SELECT number, sop_instance, report, attempts FROM reports WHERE report IS NOT NULL AND due_s <= ?"
            " ORDER BY attempts, number LIMIT ?"
        )
        return [Report(*found) for found in self._select(query, now_s, count)]

    def delivered(self, number: int) -> None:
        """Stores that a report has arrived; it is not kept."""
        with self._transaction():
            self._db.execute("UPDATE reports SET report = NULL WHERE number = ?", (number,))

    def postpone(self, number: int, due_s: float) -> None:
        """Stores that the destination refused a report, and when it is tried again (seconds since 1970)."""
        with self._transaction():
            update = "UPDATE reports SET attempts = attempts + 1, due_s = ? WHERE number = ?"
            self._db.execute(update, (due_s, number))

    def refuse(self, sender: str, reason: str, now: str) -> bool:
        """Counts a refused request; returns whether it is the first of this sender and reason."""
        add = (
            "INSERT INTO refusals VALUES (?, ?, 1, ?, ?)"
            " ON CONFLICT (sender, reason) DO UPDATE SET number = number + 1, last = excluded.last"
        )
        with self._transaction():
            known = self._select("SELECT number FROM refusals WHERE sender = ? AND reason = ?", sender, reason)
            if not known and self._select("SELECT count(*) FROM refusals")[0][0] >= _MAX_REFUSALS:
                sender, reason = _OTHERS, _OTHERS
            self._db.execute(add, (sender, reason, now, now))
        self.changed_refusals = True
        return not known

    def refusals(self) -> list[RefusalRow]:
        """All refusals, by sender and reason, safe for a spreadsheet."""
        self.changed_refusals = False
        found = self._select("SELECT sender, reason, number, first, last FROM refusals ORDER BY sender, reason")
        return [
            RefusalRow(sender=spreadsheet_safe(sender), reason=reason, number=number, first=first, last=last)
            for sender, reason, number, first, last in found
        ]

    def by_status(self) -> dict[str, int]:
        """Rows of each status."""
        return dict(self._select("SELECT status, count(*) FROM rows GROUP BY status"))

    def unsent(self) -> int:
        """Reports that wait to be sent."""
        return int(self._select("SELECT count(*) FROM reports WHERE report IS NOT NULL")[0][0])


def _parse_header(text: str) -> PhotographHeader:
    fields = json.loads(text)
    return PhotographHeader(**fields | {"eye": Eye(fields["eye"]), "notes": tuple(fields["notes"])})


def _explained(error: sqlite3.Error, path: Path) -> DataError:
    """What SQLite's error at the start means for the user."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DataError("another node uses this queue", where=str(path), todo="stop it, or name another --queue")
    return DataError(f"the queue cannot be opened: {error}", where=str(path), todo="see whether the disk is full")
