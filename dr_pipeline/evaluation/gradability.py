"""The quality thresholds of each site, fitted and applied: the quality status of each photograph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.rejection import rejection_report
from dr_pipeline.evaluation.reliability_bins import CONFIDENCE
from dr_pipeline.files import sha256_file
from dr_pipeline.fundus.quality.thresholds import Gradability, fit_gradability
from dr_pipeline.params.curation import QualityParams
from dr_pipeline.schema import RESEARCH_USE, Status
from dr_pipeline.tables.canvas_index import CanvasRow, read_canvas_index
from dr_pipeline.tables.gradability import GradabilityRow, read_gradability
from dr_pipeline.tables.manifest import read_manifest
from dr_pipeline.tables.splits import DEVELOPMENT, read_splits


@dataclass(frozen=True)
class FittedGradability:
    """Thresholds fitted on the development part, the status of every photograph, and the rejection report."""

    thresholds: Gradability
    statuses: dict[str, GradabilityRow]
    report: dict[str, Any]


def fit_and_apply_gradability(index: Path, audited: Path, splits: Path, params: QualityParams) -> FittedGradability:
    """Fits each site's threshold on the development part and applies it to all photographs.

    Args:
        index: Index of the canvases.
        audited: The audited manifest.
        splits: Table that `split` wrote.
        params: The lowest score, and the cap on the rejected fraction.

    Raises:
        DataError: A table is missing, or they are not about the same photographs.
    """
    rows = {row.image_id: row for row in read_canvas_index(index)}
    site_of = {row.image_id: row.site for row in read_manifest(audited)}
    split_rows = read_splits(splits)
    development = [row.image_id for row in split_rows if row.split == DEVELOPMENT]
    if unknown := sorted({row.image_id for row in split_rows} - (rows.keys() & site_of.keys())):
        raise DataError(
            f"{len(unknown)} photographs of the split are not in both other tables, such as {unknown[0]!r}",
            where=str(splits),
            todo="run `dvc repro`",
        )
    thresholds = fit_gradability(
        ((site_of[name], rows[name].status, rows[name].quality or 0.0) for name in development),
        min_score=params.min_score,
        max_rejected_share=params.max_rejected_share,
        fitted_on={
            "split": DEVELOPMENT,
            "splits_sha256": sha256_file(splits),
            "canvas_index_sha256": sha256_file(index),
            "photographs": str(len(development)),
        },
    )
    statuses = apply_gradability(thresholds, rows, site_of)
    by_site = [{"site": site, "threshold": limit} for site, limit in thresholds.sites.items()]
    report = rejection_report(split_rows, statuses, CONFIDENCE) | {
        "research_use": RESEARCH_USE,
        "thresholds": thresholds.to_dict() | {"sites": by_site},
    }
    return FittedGradability(thresholds, statuses, report)


def apply_gradability(
    gradability: Gradability, index: Mapping[str, CanvasRow], site_of: Mapping[str, str]
) -> dict[str, GradabilityRow]:
    """Applies the thresholds to every photograph.

    Args:
        gradability: The thresholds.
        index: Rows of data/canvases/index.csv by image id.
        site_of: The site of each image id; empty: unknown.

    Returns:
        The rows of data/gradability.csv by image id, sorted.

    Raises:
        DataError: A photograph is in one of the two only.
    """
    if unmatched := sorted(index.keys() ^ site_of.keys()):
        raise DataError(
            f"the audited table and the canvases' index differ in {len(unmatched)} photographs, such as "
            f"{unmatched[0]!r}",
            todo="run `dvc repro`",
        )
    rows = {}
    for name in sorted(index):
        row = index[name]
        status, reason = gradability.apply(row.status, row.quality or 0.0, site=site_of[name])
        rows[name] = GradabilityRow(image_id=name, status=status, reason=reason or row.reason)
    return rows


def read_statuses(path: Path, image_ids: Sequence[str]) -> list[Status]:
    """The status of each photograph, in the order of `image_ids`.

    Raises:
        DataError: The table is missing, of another version, or lacks a photograph.
    """
    status_of = {row.image_id: row.status for row in read_gradability(path)}
    if missing := [name for name in image_ids if name not in status_of]:
        raise DataError(f"no status of {missing[0]!r}", where=str(path), todo="run `dvc repro`")
    return [status_of[name] for name in image_ids]
