"""Scores folders: every file becomes exactly one row, in the order of the listing, in flat memory."""

import errno
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.identity import BundleIdentity, identify_bundle
from dr_pipeline.engines.engine import Engine
from dr_pipeline.errors import DataError, DrPipelineError, EnvironmentProblem
from dr_pipeline.files import printable, sha256_file
from dr_pipeline.folder_rules import FolderRules, describe_counts
from dr_pipeline.logs import logger, progress
from dr_pipeline.machine import usable_processes
from dr_pipeline.schema import Status
from dr_pipeline.scoring.journal import Journal, journal_path
from dr_pipeline.scoring.outputs import (
    Format,
    GrowingTable,
    encoder,
    explained,
    lesion_paths,
    partial_path,
    require_parquet,
    write_parquet,
)
from dr_pipeline.scoring.run import Run, devices_of, lies_in, own_outputs, require_same_bundle, require_same_devices
from dr_pipeline.scoring.run_manifest import manifest_path, now, read_manifest, write_manifest
from dr_pipeline.scoring.score import Score
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.listing import iter_entries
from dr_pipeline.scoring.sources.objects import without_secrets
from dr_pipeline.scoring.sources.people import People
from dr_pipeline.scoring.summary import Summary, summarise
from dr_pipeline.tables.predictions import PREDICTIONS, PredictionRow

# A killed run loses the rows since the last commit, and scores these files again.
_COMMIT_S = 0.5
TIME_LIMIT_S = 60.0


def score_folder(
    source: Path,
    bundle: Path,
    out: Path,
    *,
    workers: int | None = None,
    site: str = "",
    rules: FolderRules = FolderRules(),  # noqa: B008 - frozen
    time_limit_s: float = TIME_LIMIT_S,
    resume: bool = False,
) -> Summary:
    """Scores every file under `source` in worker processes and writes a table, with its manifest beside it.

    A program that calls this must be importable by its workers: its own work stands under
    `if __name__ == "__main__":`.

    Args:
        source: A folder, or one file.
        bundle: The bundle's folder; each worker verifies it.
        out: The table to write, .csv, .jsonl or .parquet; an earlier one is replaced.
        workers: Processes; None: by cores and memory.
        site: The site whose quality threshold is used; empty: that of all.
        rules: What is left out of the folder, and whether links that lead out of it are followed.
        time_limit_s: A file that takes longer is a row with that reason.
        resume: Go on with a run that was interrupted.

    Raises:
        DataError: No file in `source`; `out` cannot be written; another run, or the rest of one, is there.
        BundleError: The bundle is damaged, or was changed during the run.
    """
    from dr_pipeline.engines.local import LocalEngine

    run = Run((str(source.absolute()),), bundle, out, site=site, rules=rules)
    identity = identify_bundle(bundle)
    task = run.task(identity.bundle_id)
    with LocalEngine(task, workers=workers or usable_processes(), time_limit_s=time_limit_s) as engine:
        return score(run, identity, engine, resume=resume)


def score(run: Run, bundle: BundleIdentity, engine: Engine[Entry, Score], *, resume: bool = False) -> Summary:
    """Scores a run with an engine that has been entered.

    Rows go to `<out>.partial` as they are finished, and to `out` when all are there. What is finished is in the journal
    first: after any interruption `resume` goes on from it and ends with the same bytes. The sources are listed first: a
    file that arrives later has no row, one that vanishes has a reason.

    Raises:
        DataError, BundleError: See `score_folder`.
    """
    if Format.of(run.out) is Format.PARQUET:
        require_parquet()
    if run.shard.count > 1 and lies_in(run.out, run.sources):
        raise DataError(
            "the table of a shard lies inside a folder that is scored: other shards would take it for a photograph",
            where=str(run.out),
            todo="name an --out in another folder",
        )
    settings = run.settings(bundle)
    if resume and not journal_path(run.out).exists() and (done := _done_before(run.out, settings)):
        return done
    with explained(), Journal(journal_path(run.out)) as journal:
        begin(journal, bundle, settings, resume=resume)
        session = _Session(run, bundle, engine, journal, settings, resumed=journal.finished)
        try:
            return session.score()
        except (DrPipelineError, OSError):
            if not journal.finished:  # nothing to go on with
                journal.remove()
                partial_path(run.out).unlink(missing_ok=True)
            raise


def begin(journal: Journal, bundle: BundleIdentity, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Begins a run, or goes on with the same one.

    Raises:
        DataError: There is an earlier run and `resume` is not asked for, or it is another run.
    """
    earlier = journal.fact("settings")
    if not resume and journal.fact("published"):  # a shard's journal stays
        journal.clear()
        earlier = None
    if earlier is not None and not resume:
        raise DataError(
            "a run that did not end is here",
            where=str(journal.path),
            todo="go on with it by --resume, or remove this file to start again",
        )
    if earlier is not None:
        differing = [name for name in {**settings, **earlier} if earlier.get(name) != settings.get(name)]
        if differing:
            name = differing[0]
            was, now_is = earlier.get(name), settings.get(name)
            raise DataError(
                f"this is not the run that was interrupted: {name} was {was!r}, not {now_is!r}",
                where=str(journal.path),
                todo="resume with the same bundle, sources and options, or remove this file to start again",
            )
    journal.record("settings", dict(settings))
    journal.record("bundle", asdict(bundle))
    journal.record("sessions", [*(journal.fact("sessions") or []), {"start": now()}])
    journal.commit()


def partial_table(out: Path, rows: Iterable[PredictionRow]) -> GrowingTable[PredictionRow]:
    """Opens the table of the rows that are finished while `out` is not; it begins with `rows`.

    Raises:
        OSError: It cannot be written, or `out` is a folder, which it could not replace in the end.
    """
    if out.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(out))
    kind = Format.of(out)
    return GrowingTable(partial_path(out), encoder(Format.CSV if kind is Format.PARQUET else kind, PREDICTIONS), rows)


def publish(out: Path, journal: Journal, bundle: BundleIdentity, settings: Mapping[str, Any]) -> None:
    """Makes `out` of the partial table, which has all rows; writes lesions and the manifest beside it."""
    remove_earlier(out, settings)
    if settings.get("lesions"):
        from dr_pipeline.scoring.lesion_outputs import write_lesions

        write_lesions(out, journal, bundle)
    if Format.of(out) is Format.PARQUET:
        write_parquet(out, journal.rows(bundle_id=bundle.bundle_id))
        partial_path(out).unlink()
    else:
        partial_path(out).replace(out)
    write_manifest(out, journal, bundle, settings)


def remove_earlier(out: Path, settings: Mapping[str, Any]) -> None:
    """Removes what lies beside an earlier table `out` and would seem to be of the new one that takes its place.

    Its manifest; and its lesions where none were looked for now. The manifest goes last: after a killed run, the next
    one still knows by it whose lesions these are.

    Args:
        out: The table.
        settings: Of the new table.
    """
    if not settings.get("lesions"):
        stated: Mapping[str, str] = {}
        with suppress(DataError):  # none, or damaged
            stated = read_manifest(out)["outputs"]
        for path in lesion_paths(out):
            if not path.is_file() or manifest_path(path).is_file():  # a table of its own by this name
                continue
            if sha256_file(path) == stated.get(path.name):
                path.unlink()
                logger.warning("removed %s: the lesions of the table that was replaced", printable(path))
            else:
                logger.warning(
                    "%s stays, but is not of this run, which looked for no lesions; no manifest states whose it is",
                    printable(path),
                )
    manifest_path(out).unlink(missing_ok=True)


def _done_before(out: Path, settings: Mapping[str, Any]) -> Summary | None:
    """The summary of the run that wrote `out`, where it was this one and came to its end."""
    if not out.is_file() or not manifest_path(out).is_file():
        return None
    manifest = read_manifest(out)
    expected = {out, *(lesion_paths(out) if settings.get("lesions") else ())}
    tables = [out.with_name(name) for name in manifest["outputs"]]
    unchanged = all(path.is_file() and manifest["outputs"][path.name] == sha256_file(path) for path in tables)
    if manifest["settings"] != settings or not expected <= set(tables) or not unchanged:
        return None
    rows = manifest["rows"]
    return Summary(
        files=rows["number"],
        by_status={status: rows[status.value] for status in Status},
        duplicates=rows["duplicates"],
        left_out=(),
        no_part=manifest["inputs"]["left_out"],
        bundle_id=settings["bundle"],
        resumed=rows["number"],
        nameless=rows["nameless"],
    )


@dataclass
class _Session:
    """One session of a run: from its start or an interruption to its end or the next."""

    run: Run
    bundle: BundleIdentity
    engine: Engine[Entry, Score]
    journal: Journal
    settings: dict[str, Any]
    resumed: int

    def score(self) -> Summary:
        journal, out = self.journal, self.run.out
        left_out, people = self._own_in_sources(), People(self.run.people)
        if journal.listing is None:
            self._list(people)
        with partial_table(out, self._rows()) as table:
            self._score_rest(table, people)
            table.sync()
        if journal.finished != journal.total:
            raise DataError(f"{journal.total} files, but {journal.finished} rows", where=str(partial_path(out)))
        publish(out, journal, self.bundle, self.settings)
        summary = summarise(journal, self.bundle, left_out=left_out, resumed=self.resumed)
        if self.run.shard.count > 1:  # `merge` reads the journal
            journal.record("published", True)
            journal.commit()
        else:
            journal.remove()
        return summary

    def _rows(self) -> Iterator[PredictionRow]:
        return self.journal.rows(bundle_id=self.bundle.bundle_id)

    def _list(self, people: People) -> None:
        run = self.run
        own = frozenset(path.resolve() for path in own_outputs(run.out))
        entries = iter_entries(run.sources, rules=run.rules, leave_out=own)
        listing = self.journal.take_listing(
            people.counted(entries), belongs=lambda entry: run.shard.has(entry.relative)
        )
        people.require_unambiguous()
        if not listing.count:
            counts = describe_counts(listing.left_out)
            raise DataError(
                f"there are no files to score{f' but {counts}' if counts else ''}",
                where=", ".join(printable(without_secrets(source)) for source in run.sources),
                todo="name the folder with the photographs",
            )

    def _own_in_sources(self) -> tuple[Path, ...]:
        own = (self.run.out, partial_path(self.run.out), manifest_path(self.run.out))
        return tuple(path for path in own if path.exists() and lies_in(path, self.run.sources))

    def _score_rest(self, table: GrowingTable[PredictionRow], people: People) -> None:
        """Scores what is not finished; at any moment, the table has no row that the journal has not."""
        journal, batch, committed_s = self.journal, list[PredictionRow](), float("-inf")
        devices = devices_of(self.run.sources)

        def commit() -> None:
            require_same_bundle(self.run, self.bundle)
            require_same_devices(devices)
            journal.commit()
            table.add(batch)
            batch.clear()

        results = people.complete(self.engine.results(journal.todo()))
        try:
            for entry, result in progress(results, label="scoring", total=journal.total - journal.finished):
                batch.append(journal.finish(entry, result, bundle_id=self.bundle.bundle_id))
                if time.monotonic() - committed_s >= _COMMIT_S:
                    commit()
                    committed_s = time.monotonic()
        except (KeyboardInterrupt, EnvironmentProblem):
            commit()
            raise
        commit()
