"""Watches a folder: scores what is in it and what arrives, until it is stopped; the table grows by whole rows."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dr_pipeline.bundle.identity import BundleIdentity
from dr_pipeline.engines.engine import Engine
from dr_pipeline.errors import DataError
from dr_pipeline.logs import logger
from dr_pipeline.scoring.arrivals import Arrivals
from dr_pipeline.scoring.folder import begin, remove_earlier
from dr_pipeline.scoring.journal import Journal, Scored, journal_path
from dr_pipeline.scoring.outputs import Format, GrowingTable, encoder, explained
from dr_pipeline.scoring.run import Run, own_outputs, require_same_bundle
from dr_pipeline.scoring.run_manifest import write_manifest
from dr_pipeline.scoring.score import Score
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.objects import without_secrets
from dr_pipeline.scoring.sources.people import People
from dr_pipeline.scoring.summary import Summary, summarise
from dr_pipeline.tables.predictions import PREDICTIONS, PredictionRow

if TYPE_CHECKING:
    from dr_pipeline.scoring.lesion_outputs import GrowingLesions

_POLL_S = 0.25
# Files that are scored before the folder is looked at again.
_BATCH = 32
_WARN_AGAIN_S = 600.0


def watch(run: Run, bundle: BundleIdentity, engine: Engine[Entry, Score]) -> Summary:
    """Scores what is in the run's one folder and what arrives there, until KeyboardInterrupt.

    The journal stays beside the table: the next call with the same settings goes on from it. A file has a row when it
    is complete, and a further one when it was changed afterwards; the order is that of the arrival.

    Args:
        run: Its table is .csv or .jsonl.
        bundle: The bundle's identity.
        engine: An engine that has been entered.

    Returns:
        The summary of all sessions; its `resumed` are the rows of the earlier ones.

    Raises:
        DataError: The folder is none; the table is Parquet, cannot be written, or another run's.
        BundleError: The bundle was changed.
    """
    folder = _only_folder(run)
    settings = {**run.settings(bundle), "watch": True}
    with explained(), Journal(journal_path(run.out)) as journal:
        begin(journal, bundle, settings, resume=True)
        if not journal.finished:  # no watch of before: the table that is there is another run's
            remove_earlier(run.out, settings)
        own = frozenset(path.resolve() for path in own_outputs(run.out))
        arrivals = Arrivals(folder, rules=run.rules, leave_out=own, known=journal.signatures())
        watching, resumed = _Watching(run, bundle, engine, journal, arrivals, People(run.people)), journal.finished
        try:
            watching.run_until_interrupted()
        finally:
            journal.commit()
        write_manifest(run.out, journal, bundle, settings)
        return summarise(journal, bundle, resumed=resumed)


def _only_folder(run: Run) -> Path:
    if Format.of(run.out) is Format.PARQUET:
        raise DataError(
            "a Parquet file cannot grow row by row", where=str(run.out), todo="watch with --out FILE.csv or FILE.jsonl"
        )
    if run.shard.count > 1:
        raise DataError("a watch has no shards", todo="leave out --num-shards")
    folder = Path(run.sources[0])
    if len(run.sources) != 1 or not folder.is_dir():
        raise DataError(
            "a watch needs one folder",
            where=", ".join(map(without_secrets, run.sources)),
            todo="name the folder to watch",
        )
    return folder


@dataclass
class _Watching:
    run: Run
    bundle: BundleIdentity
    engine: Engine[Entry, Score]
    journal: Journal
    arrivals: Arrivals
    people: People
    _queue: deque[Entry] = field(default_factory=deque)
    _warned_s: float = float("-inf")

    def run_until_interrupted(self) -> None:
        with self._tables() as (table, lesions):
            self._queue.extend(self.journal.todo())
            try:
                while True:
                    if self._take_arrivals() and self._queue:
                        self._score_some(table, lesions)
                    else:
                        time.sleep(_POLL_S)
            except KeyboardInterrupt:
                logger.info("stopped; the same command goes on")
        written = {table.num_rows, table.num_rows if lesions is None else lesions.num_rows}
        if written != {self.journal.finished}:  # interrupted between the journal and the tables
            with self._tables():
                pass

    @contextmanager
    def _tables(self) -> "Iterator[tuple[GrowingTable[PredictionRow], GrowingLesions | None]]":
        """What the watch writes, each beginning with what the journal holds."""
        out, bundle_id = self.run.out, self.bundle.bundle_id
        encode, rows = encoder(Format.of(out), PREDICTIONS), self.journal.rows(bundle_id=bundle_id)
        with GrowingTable(out, encode, rows) as table, ExitStack() as stack:
            lesions = None
            if self.run.lesions:
                from dr_pipeline.scoring.lesion_outputs import GrowingLesions

                lesions = stack.enter_context(GrowingLesions(out, self.journal, self.bundle))
            yield table, lesions

    def _take_arrivals(self) -> bool:
        """Queues what has arrived; returns whether the folder is there, since nothing in it can be read else."""
        try:
            arrived = self.arrivals.poll(time.monotonic())
        except DataError as error:  # a network drive that is away comes again
            if time.monotonic() - self._warned_s >= _WARN_AGAIN_S:
                logger.warning("%s; the watch goes on", error)
                self._warned_s = time.monotonic()
            return False
        for entry, signature in arrived:
            self.journal.add(self.journal.total, entry, signature)
            self._queue.append(entry)
        if arrived:
            self.journal.commit()
        return True

    def _score_some(self, table: GrowingTable[PredictionRow], lesions: "GrowingLesions | None") -> None:
        require_same_bundle(self.run, self.bundle)
        some = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
        for entry, score in self.people.complete(self.engine.results(list(self.people.counted(some)))):
            row = self.journal.finish(entry, score, bundle_id=self.bundle.bundle_id)
            self.journal.commit()
            table.add([row])
            if lesions is not None:
                lesions.add(Scored(self.journal.finished - 1, entry, score, row.image_id))
