"""The journal of a run: what was listed and what is scored, in one SQLite file beside the table.

A run that is killed at any moment goes on from it, and ends with the same table as one that was not. The listing, ids
and hashes of pixels are on disk, so memory does not grow with the number of files.
"""

import hashlib
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

from dr_pipeline.errors import DataError
from dr_pipeline.files import make_private_folder
from dr_pipeline.lesions.findings import Findings
from dr_pipeline.schema import Eye, Status
from dr_pipeline.scoring.prediction_rows import image_ids, make_row
from dr_pipeline.scoring.score import Acquisition, Grading, LesionScore, Score
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.listing import sort_key
from dr_pipeline.scoring.sources.person import UNKNOWN, Person
from dr_pipeline.tables.predictions import PredictionRow

_VERSION = 2
_BATCH = 1000
_CACHE_KIB = 32 << 10
_SCHEMA = f"""
    PRAGMA user_version = {_VERSION};
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE found (
        sort_key BLOB, entry TEXT, number INTEGER, PRIMARY KEY (sort_key, entry, number)
    ) WITHOUT ROWID;
    CREATE TABLE entries (
        number INTEGER PRIMARY KEY, position INTEGER NOT NULL UNIQUE, entry TEXT NOT NULL, signature TEXT NOT NULL
    );
    CREATE TABLE rows (
        number INTEGER PRIMARY KEY,
        image_id TEXT NOT NULL UNIQUE,
        duplicate_of TEXT NOT NULL,
        status TEXT NOT NULL,
        pixel_hash BLOB,
        score TEXT NOT NULL
    );
    CREATE INDEX rows_by_pixels ON rows (pixel_hash, number) WHERE pixel_hash IS NOT NULL;
"""


@dataclass(frozen=True)
class Listing:
    """What was found, the same in every shard of a run.

    Attributes:
        count: Entries that get a row.
        digest: SHA-256 over their relative paths in order.
        left_out: Further files, which have no row since they are no part of the photographs, by kind.
    """

    count: int
    digest: str
    left_out: dict[str, int]


@dataclass(frozen=True)
class Scored:
    """One finished entry: its position in the whole listing, its score, and its id in this journal."""

    position: int
    entry: Entry
    score: Score
    image_id: str


def journal_path(out: Path) -> Path:
    """Where the journal of the run that writes `out` is."""
    return out.with_name(f"{out.name}.journal")


def own_files(out: Path) -> tuple[Path, ...]:
    """The journal and what SQLite keeps beside it."""
    journal = journal_path(out)
    return (journal, *(journal.with_name(journal.name + suffix) for suffix in ("-wal", "-journal", "-shm")))


class Journal:
    """One run's journal, locked for this process until it is closed.

    Entries are numbered from 0 in the order of their rows, and finished in that order.

    Args:
        path: Made where it is missing, with its folder; only its owner may read it.

    Raises:
        DataError: Another process uses it; it cannot be written; it is damaged or another version's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        make_private_folder(path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, timeout=0)
        try:
            # Without a file of shared memory, which network drives do not have; the lock is kept until the end.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            # The listing of millions is one transaction: its write-ahead log does not keep that size afterwards.
            self._db.execute(f"PRAGMA journal_size_limit = {_CACHE_KIB << 10}")
            self._open()
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.Error):
                raise _sentence(error, path) from None
            raise

    def _open(self) -> None:
        self._db.execute("BEGIN EXCLUSIVE")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
        elif version != _VERSION:
            raise DataError(
                f"the journal of another version of dr-pipeline ({version} instead of {_VERSION})",
                where=str(self.path),
                todo="finish the run with that version, or remove the journal",
            )
        self._db.commit()
        (self.finished,) = self._db.execute("SELECT count(*) FROM rows").fetchone()
        (self.total,) = self._db.execute("SELECT count(*) FROM entries").fetchone()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._db.close()
        if isinstance(error, sqlite3.Error):
            raise _sentence(error, self.path) from None

    def remove(self) -> None:
        """Closes the journal and deletes its files."""
        self._db.close()
        for path in own_files(self.path.with_name(self.path.name.removesuffix(".journal"))):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forgets everything."""
        for table in ("facts", "entries", "rows"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - the names above
        self._db.commit()
        self.finished = self.total = 0

    def commit(self) -> None:
        """Makes what was added and finished permanent; without it a killed run loses it."""
        self._db.commit()

    def fact(self, name: str) -> Any:
        """What was recorded by this name; None where nothing was."""
        found = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return found and json.loads(found[0])

    def record(self, name: str, value: Any) -> None:
        """Records a value that JSON can hold, in place of an earlier one."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    @property
    def listing(self) -> Listing | None:
        """The listing; None while it is incomplete."""
        recorded = self.fact("listing")
        return Listing(**recorded) if recorded else None

    def take_listing(self, found: Iterable[Entry], *, belongs: Callable[[Entry], bool] = lambda _: True) -> Listing:
        """Sorts entries, numbers those that belong to this run, and records the listing.

        Args:
            found: Every entry of the sources, in any order; read once.
            belongs: Whether an entry is in this shard.
        """
        self._db.execute("DELETE FROM found")  # of a listing that was interrupted
        left_out = Counter[str]()
        numbered = enumerate(_kept(found, left_out))
        while batch := list(islice(numbered, _BATCH)):
            rows = [(sort_key(entry.relative), _entry_text(entry), number) for number, entry in batch]
            self._db.executemany("INSERT INTO found VALUES (?, ?, ?)", rows)
            self._db.commit()
        listing = self._number(belongs, dict(left_out))
        self._db.execute("DELETE FROM found")
        self.record_listing(listing)
        self._db.commit()
        return listing

    def record_listing(self, listing: Listing) -> None:
        """Records that the listing is complete."""
        self.record("listing", asdict(listing))

    def _number(self, belongs: Callable[[Entry], bool], left_out: dict[str, int]) -> Listing:
        digest, count = ListingDigest(), 0
        ordered = self._db.execute("SELECT entry FROM found ORDER BY sort_key, entry, number")
        for count, (text,) in enumerate(ordered, start=1):
            entry = _parse_entry(text)
            digest.add(entry)
            if belongs(entry):
                self._add(count - 1, text)
        return Listing(count, digest.hexdigest(), left_out)

    def add(self, position: int, entry: Entry, signature: str = "") -> None:
        """Adds one entry after the others, with what changes when its file does."""
        self._add(position, _entry_text(entry), signature)

    def _add(self, position: int, text: str, signature: str = "") -> None:
        self._db.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", (self.total, position, text, signature))
        self.total += 1

    def signatures(self) -> dict[str, str]:
        """The latest signature of each file, by its relative path."""
        stored = self._db.execute("SELECT entry, signature FROM entries ORDER BY number")
        return {_parse_entry(text).relative: signature for text, signature in stored}

    def todo(self) -> Iterator[Entry]:
        """The entries that are not finished at the time of the call, in order."""
        query = "SELECT entry FROM entries WHERE number >= ? ORDER BY number LIMIT ?"
        number = self.finished
        while piece := self._piece(query, number):
            number += len(piece)
            yield from (_parse_entry(text) for (text,) in piece)

    def finish(self, entry: Entry, score: Score, *, bundle_id: str) -> PredictionRow:
        """Stores the score of the first entry that is not finished, and returns its row.

        Its id is unique among the rows before it; the first row with the same pixels is found by an index.
        """
        image_id = next(name for name in image_ids(entry.relative) if not self._has_id(name))
        pixels = bytes.fromhex(score.pixel_hash) or None
        duplicate_of = self._first_with_pixels(pixels) if pixels else ""
        self._db.execute(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)",
            (self.finished, image_id, duplicate_of, score.status.value, pixels, _score_text(score)),
        )
        self.finished += 1
        return make_row(entry, score, image_id=image_id, duplicate_of=duplicate_of, bundle_id=bundle_id)

    def _has_id(self, image_id: str) -> bool:
        return self._db.execute("SELECT 1 FROM rows WHERE image_id = ?", (image_id,)).fetchone() is not None

    def _first_with_pixels(self, pixels: bytes) -> str:
        query = "SELECT image_id FROM rows WHERE pixel_hash = ? ORDER BY number LIMIT 1"
        found = self._db.execute(query, (pixels,)).fetchone()
        return str(found[0]) if found else ""

    def rows(self, *, bundle_id: str) -> Iterator[PredictionRow]:
        """The rows of all finished entries, in order."""
        for _, entry, image_id, duplicate_of, score in self._joined():
            yield make_row(entry, score, image_id=image_id, duplicate_of=duplicate_of, bundle_id=bundle_id)

    def scored(self) -> Iterator[Scored]:
        """All finished entries, in order."""
        for position, entry, image_id, _, score in self._joined():
            yield Scored(position, entry, score, image_id)

    def _joined(self) -> Iterator[tuple[int, Entry, str, str, Score]]:
        query = (
            "SELECT position, entry, image_id, duplicate_of, score FROM entries JOIN rows USING (number)"
            " WHERE number >= ? ORDER BY number LIMIT ?"
        )
        number = 0
        while piece := self._piece(query, number):
            number += len(piece)
            for position, text, image_id, duplicate_of, score in piece:
                yield position, _parse_entry(text), image_id, duplicate_of, _parse_score(score)

    def _piece(self, query: str, number: int) -> list[Any]:
        """The next rows of a query: one that stays open would keep SQLite from clearing its write-ahead log."""
        try:
            return self._db.execute(query, (number, _BATCH)).fetchall()
        except sqlite3.Error as error:  # of several journals that are merged, this one
            raise _sentence(error, self.path) from None

    def lesion_seconds(self) -> list[float]:
        """How long each photograph's lesions took, in order; empty where they were not asked for."""
        query = "SELECT json_extract(score, '$.lesions.seconds') AS seconds FROM rows WHERE seconds IS NOT NULL"
        return [seconds for (seconds,) in self._db.execute(query)]

    def by_status(self) -> dict[Status, int]:
        """Finished entries of each status."""
        counted: Mapping[str, int] = dict(self._db.execute("SELECT status, count(*) FROM rows GROUP BY status"))
        return {status: counted.get(status.value, 0) for status in Status}

    def nameless(self) -> int:
        """Rows of which neither patient nor eye, visit or site is known."""
        query = "SELECT count(*) FROM rows WHERE json_extract(score, '$.person') = ?"
        (count,) = self._db.execute(query, (_json(asdict(UNKNOWN)),)).fetchone()
        return int(count)

    def duplicates(self) -> int:
        """Rows whose pixels an earlier row has too."""
        (count,) = self._db.execute("SELECT count(*) FROM rows WHERE duplicate_of != ''").fetchone()
        return int(count)


class ListingDigest:
    """SHA-256 over the relative paths of a listing, in order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, entry: Entry) -> None:
        """Adds one entry; no path holds the zero byte that stands between them."""
        self._hash.update(entry.relative.encode("utf-8", "surrogateescape") + b"\0")

    def hexdigest(self) -> str:
        """The digest of the entries so far."""
        return self._hash.hexdigest()


def _kept(found: Iterable[Entry], left_out: Counter[str]) -> Iterator[Entry]:
    """The entries that get a row; the others are counted."""
    for entry in found:
        if entry.left_out:
            left_out[entry.left_out] += entry.files
        else:
            yield entry


def _entry_text(entry: Entry) -> str:
    """JSON in ASCII, which also holds the surrogates of names that are not UTF-8."""
    return _json(astuple(entry))


def _parse_entry(text: str) -> Entry:
    return Entry(*json.loads(text))


def _score_text(score: Score) -> str:
    fields = asdict(score)
    if score.lesions is None:  # as runs without lesions have always stored it
        del fields["lesions"]
    return _json(fields)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _parse_score(text: str) -> Score:
    fields = json.loads(text)
    grading = fields.pop("grading")
    if grading is not None:
        grading = Grading(**grading | {"probabilities": tuple(grading["probabilities"])})
    person, acquisition, lesions = fields.pop("person"), fields.pop("acquisition"), fields.pop("lesions", None)
    return Score(
        **fields | {"status": Status(fields["status"])},
        grading=grading,
        person=Person(**person | {"eye": Eye(person["eye"])}),
        acquisition=acquisition and Acquisition(**acquisition),
        lesions=lesions and LesionScore(Findings.from_dict(lesions["findings"]), lesions["seconds"]),
    )


def _sentence(error: sqlite3.Error, path: Path) -> DataError:
    """What SQLite's error means for the user."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DataError(
            "another run is writing this table", where=str(path), todo="wait for it, or name another --out"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DataError(f"the journal is damaged: {error}", where=str(path), todo="remove it and score from the start")
    return DataError(
        f"the journal cannot be written: {error}",
        where=str(path),
        todo="see whether the disk is full, and run again with --resume",
    )
