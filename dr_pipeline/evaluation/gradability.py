"""The quality status of each photograph: thresholds applied to the canvases' index, and read back."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.fundus.quality.thresholds import Gradability
from dr_pipeline.schema import Status
from dr_pipeline.tables.canvas_index import CanvasRow
from dr_pipeline.tables.gradability import GradabilityRow, read_gradability


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
