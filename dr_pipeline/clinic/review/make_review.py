"""From a table of predictions and the photographs to the folder of a review page."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.clinic.review.lesion_facts import findings_of, lesion_facts
from dr_pipeline.clinic.review.order import RankedRow, rank
from dr_pipeline.clinic.review.page import PICTURES, open_folder, page_data, write_page
from dr_pipeline.clinic.review.pictures import PictureJob, Pictures
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import DataError
from dr_pipeline.files import printable, sha256_file, spreadsheet_safe, write_text
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.lesions.svg import lesion_svg
from dr_pipeline.logs import progress
from dr_pipeline.schema import Status
from dr_pipeline.scoring.input_safety import require_apart
from dr_pipeline.scoring.outputs import read_rows
from dr_pipeline.scoring.run_manifest import manifest_path, now, read_manifest
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.listing import iter_entries
from dr_pipeline.tables.predictions import PredictionRow

DEFAULT_FULL_PX = 2048
_BATCH_DIGITS = 16
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NOT_THERE = "its file is not among the photographs"


@dataclass(frozen=True)
class ReviewOptions:
    """What the page shows of the photographs.

    Attributes:
        full_px: Longest side of a full picture.
        whole_frame: The whole frame instead of the field alone.
        hide_patients: Leaves out patients, visits, sites, paths and ids, and pictures of what is no fundus, which may
            be a form with a name.

    Raises:
        DataError: The whole frame is wanted without patients: cameras write names beside the field.
    """

    full_px: int = DEFAULT_FULL_PX
    whole_frame: bool = False
    hide_patients: bool = False

    def __post_init__(self) -> None:
        """Checks that the options go together."""
        if self.whole_frame and self.hide_patients:
            raise DataError(
                "the whole frame may show the patient's name, written by the camera",
                where="--whole-frame with --hide-patients",
                todo="leave out one of them",
            )


@dataclass(frozen=True)
class Review:
    """What was made.

    Attributes:
        page: The page to open.
        photographs: Number of rows.
        kept: Number of photographs whose pictures an earlier run had made.
        missing: How many photographs have no picture, by the reason.
    """

    page: Path
    photographs: int
    kept: int
    missing: Mapping[str, int]


def make_review(
    predictions: Path,
    out: Path,
    *,
    sources: tuple[str, ...] = (),
    options: ReviewOptions = ReviewOptions(),
    engine: EngineChoice = EngineChoice(),  # noqa: B008 - frozen
    time_limit_s: float = 60.0,
) -> Review:
    """Makes the folder; pictures that are there are kept, so that an interrupted run goes on.

    Args:
        predictions: The table.
        out: A new or empty folder, or that of an earlier run.
        sources: Where the photographs are; empty: where the run that made the table found them, by its manifest.
        options: What the page shows.
        engine: Where pictures are made.
        time_limit_s: For one photograph.

    Raises:
        DataError: The table, its manifest or a source is missing; the table is empty or has an id twice; `out` is
            something else, or lies in the folder of the photographs.
    """
    require_apart(out, sources or _sources_of_run(predictions))
    rows = list(read_rows(predictions))
    _check_rows(rows, where=str(predictions))
    ranked = rank(rows, where=str(predictions))
    pictures = Pictures(open_folder(out), options.full_px, options.whole_frame)
    shown = [item for item in ranked if _has_picture(item.row, options)]
    todo = [item for item in shown if not pictures.are_made(item.row.sha256)]
    entries = _entries_by_path(predictions, sources, {item.row.path for item in todo}) if todo else {}
    jobs = {
        item.row.sha256: PictureJob(entries[item.row.path], item.row.sha256)
        for item in todo
        if item.row.path in entries
    }
    faults: dict[str, str] = {}
    with engine.engine(pictures, time_limit_s=time_limit_s) as workers:
        for job, fault in progress(workers.results(jobs.values()), label="pictures", total=len(jobs)):
            faults[job.sha256] = fault
    missing = dict(_missing(ranked, todo, faults, options))
    with_picture = {item.row.sha256: item.row for item in shown if item.number not in missing}
    lesions = _write_lesions(predictions, pictures, with_picture)
    pictures.remove_others(set(with_picture), set(lesions))
    data = page_data(
        ranked,
        {item.number: pictures.names(item.row.sha256) for item in shown if item.number not in missing},
        missing,
        lesions,
        batch=batch_of(predictions),
        made=now(),
        names=not options.hide_patients,
    )
    return Review(write_page(out, data), len(rows), len(shown) - len(todo), Counter(missing.values()))


def _write_lesions(
    predictions: Path, pictures: Pictures, rows: Mapping[str, PredictionRow]
) -> dict[str, dict[str, Any]]:
    """Draws the lesions of the photographs that have pictures, by their hash; returns what the page states of them."""
    facts = {}
    for sha256, findings in findings_of(predictions):
        if sha256 not in rows or sha256 in facts:
            continue
        row, name = rows[sha256], pictures.lesions_name(sha256)
        frame = (0.0, 0.0, float(row.width or 0), float(row.height or 0)) if pictures.whole_frame else findings.window
        write_text(pictures.folder / name, lesion_svg(findings, frame), private=True)
        facts[sha256] = {"lesions": f"{PICTURES}/{name}", **lesion_facts(findings, row)}
    return facts


def batch_of(predictions: Path) -> str:
    """The name under which a browser keeps the readings of a table: another table has another."""
    return sha256_file(predictions)[:_BATCH_DIGITS]


def _check_rows(rows: Sequence[PredictionRow], *, where: str) -> None:
    if not rows:
        raise DataError("the table has no rows", where=where, todo="score the photographs first")
    twice = sum(times > 1 for times in Counter(row.image_id for row in rows).values())
    if twice:
        raise DataError(f"{twice} ids occur more than once", where=where, todo="review each table on its own")
    if malformed := sum(not _SHA256.fullmatch(row.sha256) for row in rows if row.sha256):
        raise DataError(f"{malformed} rows have a sha256 that is none", where=where, todo="score the photographs again")


def _has_picture(row: PredictionRow, options: ReviewOptions) -> bool:
    is_hidden = options.hide_patients and row.status is Status.NOT_FUNDUS
    return bool(row.sha256) and row.status is not Status.FAILED and not is_hidden


def _missing(
    ranked: Sequence[RankedRow], todo: Sequence[RankedRow], faults: Mapping[str, str], options: ReviewOptions
) -> Iterator[tuple[int, str]]:
    """Number and reason of each row without a picture."""
    for item in ranked:
        if item.row.status is Status.FAILED or not item.row.sha256:
            yield item.number, "the program could read no picture"
        elif not _has_picture(item.row, options):
            yield item.number, "not shown without patients: it may be a form with a name"
    for item in todo:
        if fault := faults.get(item.row.sha256, _NOT_THERE):
            yield item.number, fault


def _sources_of_run(predictions: Path) -> tuple[str, ...]:
    """Where the run that made the table found the photographs; none where it has no manifest."""
    return tuple(read_manifest(predictions)["settings"]["sources"]) if manifest_path(predictions).is_file() else ()


def _entries_by_path(predictions: Path, sources: tuple[str, ...], wanted: set[str]) -> dict[str, Entry]:
    """The files of the rows by their path in the table."""
    manifest = manifest_path(predictions)
    if not sources and not manifest.is_file():
        raise DataError(
            "it is not known where the photographs are: the table has no manifest beside it",
            where=str(manifest),
            todo="name them with --photographs",
        )
    settings: dict[str, Any] = read_manifest(predictions)["settings"] if manifest.is_file() else {}
    rules = FolderRules(tuple(settings.get("ignore", ())), settings.get("follow_links", False))
    found = {}
    for entry in iter_entries(sources or tuple(settings["sources"]), rules=rules):
        path = spreadsheet_safe(printable(entry.relative))
        if not entry.left_out and path in wanted:
            found[path] = entry
            if len(found) == len(wanted):
                break
    return found
