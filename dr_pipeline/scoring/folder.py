"""Scores a folder: every file becomes exactly one row, in the order of the listing, in flat memory."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dr_pipeline.errors import DataError, ImageError
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.logs import progress
from dr_pipeline.schema import Status
from dr_pipeline.scoring.prediction_rows import PredictionRows
from dr_pipeline.scoring.scorer import Score, Scorer, failed
from dr_pipeline.scoring.sources.entry import Entry, count_left_out
from dr_pipeline.scoring.sources.listing import list_entries
from dr_pipeline.scoring.sources.read import read_entry
from dr_pipeline.tables.predictions import PREDICTIONS

# Files in progress or waiting for their row, per thread: one slow file must not idle the other threads.
_WINDOW_PER_THREAD = 8


@dataclass(frozen=True)
class Summary:
    """The result of scoring a folder.

    Attributes:
        files: Files to score, which is also the number of rows.
        by_status: Rows of each status.
        duplicates: Rows whose pixels an earlier row has too.
        left_out: The command's own table, where it lies inside the folder.
        no_part: Further files, which have no row since they are no part of the photographs, by kind.
    """

    files: int
    by_status: dict[Status, int]
    duplicates: int
    left_out: tuple[Path, ...]
    no_part: Mapping[str, int]


def partial_path(out: Path) -> Path:
    """Where the rows are until the last one is written."""
    return out.with_name(f"{out.name}.partial")


def score_folder(
    source: Path,
    scorer: Scorer,
    out: Path,
    *,
    threads: int,
    rules: FolderRules = FolderRules(),  # noqa: B008 - frozen
) -> Summary:
    """Scores every file under `source` and writes predictions.csv.

    Rows are flushed one by one to `<out>.partial`, which is renamed to `out` after the last; an interrupted run keeps
    its rows. The folder is listed first: a file that arrives later has no row, one that vanishes has a reason.

    Decoding, hashing and the network release Python's global lock, so threads share the cores without copying the
    network or the photographs; each thread takes one whole file (see benchmarks/scoring.py).

    Args:
        source: A folder, or one file.
        scorer: Best loaded with one thread of its own.
        out: The table to write; an earlier one is replaced.
        threads: Files scored at the same time.
        rules: What is left out of the folder, and whether links that lead out of it are followed.

    Raises:
        DataError: No file in `source`; `out` cannot be written; rows and files differ in number.
    """
    partial = partial_path(out)
    own = frozenset(path.resolve() for path in (out, partial))
    left_out = tuple(path for path in (out, partial) if path.exists() and source.resolve() in path.resolve().parents)
    listed = list_entries([str(source)], leave_out=own, rules=rules)
    entries = [entry for entry in listed if not entry.left_out]
    rows, by_status, duplicates = PredictionRows(scorer.bundle_id), Counter[Status](), 0
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="") as stream:
            write = PREDICTIONS.writer(stream)
            scores = _in_order(entries, scorer, threads)
            for entry, score in progress(scores, label="scoring", total=len(entries)):
                row = rows.row(entry, score)
                write(row)
                stream.flush()
                by_status[score.status] += 1
                duplicates += bool(row.duplicate_of)
        if by_status.total() != len(entries):
            raise DataError(f"{len(entries)} files, but {by_status.total()} rows", where=str(partial))
        partial.replace(out)
    except OSError as error:
        raise DataError(f"the table cannot be written: {error.strerror}", where=str(error.filename or out)) from None
    counts = {status: by_status[status] for status in Status}
    return Summary(len(entries), counts, duplicates, left_out, count_left_out(listed))


def _in_order(entries: Iterable[Entry], scorer: Scorer, threads: int) -> Iterator[tuple[Entry, Score]]:
    """Scores in a pool, a bounded number ahead, and yields in the order of `entries`."""
    waiting: deque[tuple[Entry, Future[Score]]] = deque()
    todo = iter(entries)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="score")
    try:
        while True:
            for entry in islice(todo, _WINDOW_PER_THREAD * threads - len(waiting)):
                waiting.append((entry, pool.submit(score_entry, entry, scorer)))
            if not waiting:
                return
            entry, future = waiting.popleft()
            yield entry, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def score_entry(entry: Entry, scorer: Scorer) -> Score:
    """Scores one file of a folder; any fault becomes a reason, and the next file is scored."""
    return failed(entry.problem) if entry.problem else score_bytes(lambda: read_entry(entry), scorer)


def score_bytes(read: Callable[[], bytes], scorer: Scorer) -> Score:
    """Scores the bytes that `read` returns; an exception becomes a reason."""
    try:
        return scorer.score(read())
    except ImageError as error:
        return failed(error.what)
    except Exception as error:  # one file must not end a night's run over a clinic's folder; its row has the reason
        return failed(f"internal error, please report it: {type(error).__name__}: {error}")
