"""Scores rows of a finished table again and compares: the proof that a table can be made again."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.bundle_files import LESIONS
from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import printable, sha256_bytes, sha256_file, spreadsheet_safe
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.machine import usable_processes
from dr_pipeline.scoring.batched import scoring_engine
from dr_pipeline.scoring.outputs import read_rows
from dr_pipeline.scoring.prediction_rows import make_row
from dr_pipeline.scoring.run_manifest import read_manifest
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.listing import iter_entries
from dr_pipeline.scoring.task import ScoringTask
from dr_pipeline.tables.predictions import PHOTOGRAPH_COLUMNS, PREDICTIONS, PredictionRow


@dataclass(frozen=True)
class Replayed:
    """One row, scored again.

    Attributes:
        number: Of the row in the table, from 1.
        differences: By column, what the table has and what the file gives now; none: equal.
        missing: Whether the file is no longer among the sources.
    """

    number: int
    differences: dict[str, tuple[str, str]]
    missing: bool = False


@dataclass(frozen=True)
class Replay:
    """The rows that were scored again, in the order of the table.

    Attributes:
        rows: One each.
        altered: Whether the table is another than the run wrote, by the hash in its manifest.
    """

    rows: tuple[Replayed, ...]
    altered: bool


def replay(
    out: Path, bundle: Path, *, sources: tuple[str, ...] = (), image_id: str = "", sample: int, time_limit_s: float
) -> Replay:
    """Scores rows of `out` again with the bundle that made it.

    Args:
        out: A table with its manifest beside it.
        bundle: The bundle's folder.
        sources: Where the files are now; empty: where the run found them.
        image_id: The one row to score; empty: a sample.
        sample: Number of rows, chosen by a hash of their ids: the same each time.
        time_limit_s: For one file.

    Raises:
        DataError: The table or its manifest is missing, or has no such row.
        BundleError: It is another bundle than the run's.
    """
    manifest = read_manifest(out)
    settings = manifest["settings"]
    found = identify_bundle(bundle)
    if found.bundle_id != settings["bundle"]:
        raise BundleError(
            f"the table was made with bundle {settings['bundle']}, this is {found.bundle_id}",
            where=str(bundle),
            todo="name the bundle that made it",
        )
    lesions = settings.get("lesions", "")
    if lesions not in ("", found.lesions):
        raise BundleError(
            f"the table was made with another {LESIONS}", where=str(bundle), todo="name the bundle that made it"
        )
    chosen = _choose(out, image_id, sample)
    rules = FolderRules(tuple(settings["ignore"]), settings["follow_links"])
    found_entries = list(_find(sources or tuple(settings["sources"]), rules, chosen))
    task = ScoringTask(bundle, settings["bundle"], settings["site"], lesions=bool(lesions))
    choice = EngineChoice(workers=min(usable_processes(), len(chosen)))
    device = settings.get("device", "cpu")  # of tables made before there was a choice
    with scoring_engine(choice, task, device=device, time_limit_s=time_limit_s) as engine:
        again = {
            _path_cell(entry): make_row(entry, score, image_id="", duplicate_of="", bundle_id=settings["bundle"])
            for entry, score in engine.results(found_entries)
        }
    rows = tuple(_compare(number, row, again.get(row.path)) for number, row in sorted(chosen.items()))
    return Replay(rows, altered=sha256_file(out) != manifest["outputs"].get(out.name))


def _choose(out: Path, image_id: str, sample: int) -> dict[int, PredictionRow]:
    """The rows to score again, by their number."""
    numbered = enumerate(read_rows(out), start=1)
    if image_id:
        chosen = {number: row for number, row in numbered if row.image_id == image_id}
        if not chosen:
            raise DataError("the table has no row of this id", where=str(out), todo="copy it from the table")
        return chosen
    return dict(heapq.nsmallest(sample, numbered, key=lambda item: sha256_bytes(item[1].image_id.encode())))


def _find(sources: tuple[str, ...], rules: FolderRules, chosen: Mapping[int, PredictionRow]) -> Iterator[Entry]:
    """The entries of the rows; ends as soon as all are found."""
    wanted = {row.path for row in chosen.values()}
    for entry in iter_entries(sources, rules=rules):
        if not entry.left_out and (path := _path_cell(entry)) in wanted:
            wanted.remove(path)
            yield entry
        if not wanted:
            return


def _path_cell(entry: Entry) -> str:
    return spreadsheet_safe(printable(entry.relative))


def _compare(number: int, row: PredictionRow, again: PredictionRow | None) -> Replayed:
    if again is None:
        return Replayed(number, {}, missing=True)
    cells: tuple[dict[str, Any], dict[str, Any]] = PREDICTIONS.cells(row), PREDICTIONS.cells(again)
    differing = (column for column in PHOTOGRAPH_COLUMNS if cells[0][column] != cells[1][column])
    return Replayed(number, {column: (cells[0][column], cells[1][column]) for column in differing})
