"""Merges the shards of one run into the table that one run over everything would have written, byte for byte."""

import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.identity import BundleIdentity
from dr_pipeline.errors import DataError
from dr_pipeline.scoring.destination import download
from dr_pipeline.scoring.folder import begin, partial_table, publish
from dr_pipeline.scoring.journal import Journal, Listing, ListingDigest, Scored, journal_path
from dr_pipeline.scoring.outputs import explained
from dr_pipeline.scoring.sources.objects import is_address
from dr_pipeline.scoring.summary import Summary, summarise


def merge(out: Path, tables: Sequence[Path]) -> Summary:
    """Merges shards; ids and duplicates are found over the whole.

    Args:
        out: The table to write, .csv, .jsonl or .parquet; an earlier one is replaced.
        tables: The tables that the shards' runs wrote, in any order and format; their journals are beside them.

    Raises:
        DataError: The shards are not the whole of one run; `out` cannot be written.
    """
    with explained(), ExitStack() as stack:
        shards = _open_shards(stack, tables)
        bundle = BundleIdentity(**shards[0].fact("bundle"))
        settings = {**_settings(shards[0]), "num_shards": 1, "shard_index": 0, "merged_shards": len(shards)}
        journal = stack.enter_context(Journal(journal_path(out)))
        earlier = journal.fact("settings") or {}
        if earlier.get("num_shards", 1) > 1:
            raise DataError("a shard of another run is here", where=str(out), todo="name another table to write")
        if earlier.get("merged_shards"):  # a merge that was killed
            journal.clear()
        begin(journal, bundle, settings, resume=False)
        try:
            for scored in _merged(shards):
                journal.add(scored.position, scored.entry)
                journal.finish(scored.entry, scored.score, bundle_id=bundle.bundle_id)
            journal.record_listing(_listing(shards[0]))
            with partial_table(out, journal.rows(bundle_id=bundle.bundle_id)):
                pass
            publish(out, journal, bundle, settings)
            return summarise(journal, bundle)
        finally:
            journal.remove()


def local_shards(tables: Sequence[str], folder: Path) -> list[Path]:
    """The shards' tables as paths, beside which their journals are; those on a store are downloaded.

    Args:
        tables: Paths and addresses.
        folder: Gets the journals of the addresses.

    Raises:
        DataError: A journal is not on the store, or the store refuses.
    """
    paths = []
    for number, table in enumerate(tables):
        path = Path(table)
        if is_address(table):
            path = folder / str(number) / path.name
            download(f"{table}.journal", journal_path(path))
        paths.append(path)
    return paths


def _open_shards(stack: ExitStack, tables: Sequence[Path]) -> list[Journal]:
    """Opens the journals of all shards of one run and proves that they belong together and are complete.

    Args:
        stack: Closes the journals.
        tables: The tables that the shards' runs wrote, in any order; the journals are beside them.

    Raises:
        DataError: A shard is missing, twice there or not finished; two differ in bundle, options or listing.
    """
    of_shard, paths = dict[int, Journal](), set[Path]()
    for path in map(journal_path, tables):
        if path in paths:
            raise DataError("a shard is given twice", where=str(path), todo="name each once")
        paths.add(path)
        if not path.is_file():
            raise DataError("the journal of a shard is missing", where=str(path), todo="keep it beside the table")
        journal = stack.enter_context(Journal(path))
        index = _settings(journal)["shard_index"]
        if index in of_shard:
            raise DataError(f"shard {index} is given twice", where=f"{of_shard[index].path} and {path}")
        of_shard[index] = journal
    first = of_shard[min(of_shard)]
    for journal in of_shard.values():
        _require_same_run(journal, first)
    missing = sorted(set(range(_settings(first)["num_shards"])) - set(of_shard))
    if missing:
        raise DataError(
            f"{len(missing)} of the shards are missing: {', '.join(map(str, missing[:20]))}",
            where=str(first.path.parent),
            todo="score them, and name the tables of all shards",
        )
    return list(of_shard.values())


def _merged(shards: Sequence[Journal]) -> Iterator[Scored]:
    """All entries of all shards in the order of the listing; proves at the end that they are the whole of it.

    Raises:
        DataError: A position is missing or twice there; the paths are not those that were listed.
    """
    listing = _listing(shards[0])
    digest, expected = ListingDigest(), 0
    for scored in heapq.merge(*(shard.scored() for shard in shards), key=lambda scored: scored.position):
        if scored.position != expected:
            raise DataError(f"file {expected} of the listing is in no shard, or one is twice there")
        digest.add(scored.entry)
        expected += 1
        yield scored
    if (expected, digest.hexdigest()) != (listing.count, listing.digest):
        raise DataError(f"the shards hold {expected} files, which are not those that were listed")


def _settings(journal: Journal) -> dict[str, Any]:
    settings = journal.fact("settings")
    if settings is None:
        raise DataError("the journal of a run that has not begun", where=str(journal.path), todo="score this shard")
    return dict(settings)


def _listing(journal: Journal) -> Listing:
    if journal.listing is None:
        raise DataError("this shard has no listing", where=str(journal.path), todo="run it again with --resume")
    return journal.listing


def _require_same_run(journal: Journal, first: Journal) -> None:
    where = f"{first.path} and {journal.path}"
    ours, theirs = ({**_settings(each), "shard_index": None} for each in (first, journal))
    if differing := [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]:
        raise DataError(f"shards of different runs: {', '.join(differing)} differ", where=where)
    if _listing(journal) != _listing(first):
        raise DataError(
            "two shards found different files in the folder",
            where=where,
            todo="score all shards again while no files come or go",
        )
    if journal.finished != journal.total:
        raise DataError(
            f"this shard is not finished: {journal.finished} of {journal.total} files",
            where=str(journal.path),
            todo="run it again with --resume",
        )
