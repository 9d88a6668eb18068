"""The summary of a run, and its line at the end."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.bundle.identity import BundleIdentity
from dr_pipeline.folder_rules import describe_counts
from dr_pipeline.schema import Status
from dr_pipeline.scoring.journal import Journal


@dataclass(frozen=True)
class Summary:
    """The result of a run.

    Attributes:
        files: Files to score, which is also the number of rows.
        by_status: Rows of each status.
        duplicates: Rows whose pixels an earlier row has too.
        left_out: The command's own files, where they lie inside a scored folder.
        no_part: Further files, which have no row since they are no part of the photographs, by kind.
        bundle_id: The bundle.
        resumed: Rows that an earlier session had finished.
        nameless: Rows of which neither patient nor eye, visit or site is known.
        lesion_seconds: Median time of finding the lesions of a photograph; None where none were looked for.
    """

    files: int
    by_status: Mapping[Status, int]
    duplicates: int
    left_out: tuple[Path, ...]
    no_part: Mapping[str, int]
    bundle_id: str
    resumed: int
    nameless: int
    lesion_seconds: float | None = None


def summarise(
    journal: Journal, bundle: BundleIdentity, *, left_out: tuple[Path, ...] = (), resumed: int = 0
) -> Summary:
    """The summary of a run whose rows are all in the journal."""
    seconds = journal.lesion_seconds()
    return Summary(
        files=journal.total,
        by_status=journal.by_status(),
        duplicates=journal.duplicates(),
        left_out=left_out,
        no_part=journal.listing.left_out if journal.listing else {},
        bundle_id=bundle.bundle_id,
        resumed=resumed,
        nameless=journal.nameless(),
        lesion_seconds=statistics.median(seconds) if seconds else None,
    )


def headline(summary: Summary, *, people: bool = False) -> str:
    """`20 files = 20 rows: 18 scored, …; bundle …`, with what else there is to know."""
    counts = ", ".join(f"{number} {status}" for status, number in summary.by_status.items())
    notes = [f"{summary.duplicates} with pixels seen before"] if summary.duplicates else []
    if people:
        notes.append(f"{summary.nameless} without patient, eye, visit and site")
    notes += [f"own file {path.name} inside a source not scored" for path in summary.left_out]
    if summary.lesion_seconds is not None:
        notes.append(f"lesions in {summary.lesion_seconds:.2f} s a photograph (median), beside grading")
    notes += [f"{summary.resumed} rows of an earlier session"] if summary.resumed else []
    return f"{_total(summary)}: {'; '.join([counts, *notes])}; bundle {summary.bundle_id}"


def _total(summary: Summary) -> str:
    """`20 files = 20 rows`, or with what has no row `95 files = 20 rows + 75 left out (75 system files)`."""
    num_left_out = sum(summary.no_part.values())
    left_out = f" + {num_left_out} left out ({describe_counts(summary.no_part)})" if num_left_out else ""
    return f"{summary.files + num_left_out} files = {summary.files} rows{left_out}"
