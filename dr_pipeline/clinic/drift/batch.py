"""A batch: the photographs of one table of predictions, measured as the bundle's reference is."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.bundle.reference import Observations, Reference, read_reference
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import printable, sha256_file
from dr_pipeline.schema import Status
from dr_pipeline.scoring.outputs import read_rows
from dr_pipeline.tables.predictions import PredictionRow


@dataclass(frozen=True, eq=False)
class Batch:
    """One batch.

    Attributes:
        name: For people.
        sha256: Of its table.
        bundle_id: That scored it.
        observed: Its photographs that show a fundus, each picture once.
        by_status: Rows of each status.
        duplicates: Rows whose pixels an earlier row has too; they are in no comparison.
    """

    name: str
    sha256: str
    bundle_id: str
    observed: Observations
    by_status: Mapping[Status, int]
    duplicates: int


def read_batch(predictions: Path, *, name: str = "", bundle_id: str = "") -> Batch:
    """Reads a table of predictions (.csv, .jsonl or .parquet).

    Args:
        predictions: The table.
        name: Of the batch; empty: the file's.
        bundle_id: The bundle that must have scored it; empty: any one.

    Raises:
        DataError: The table is missing, of another version, or has no photograph to compare.
        BundleError: Another bundle scored it, or several did: their scores do not compare.
    """
    by_status, bundles, duplicates = Counter[Status](), set[str](), 0

    def photographs() -> Iterator[tuple[str, str, str, Mapping[str, float | None]]]:
        nonlocal duplicates
        for row in read_rows(predictions):
            by_status[row.status] += 1
            bundles.add(row.bundle_id)
            if row.duplicate_of:
                duplicates += 1
            elif row.status in (Status.SCORED, Status.UNGRADABLE):
                yield row.patient_id, row.site, row.camera, measured(row)

    observed = Observations.of(photographs())
    if strangers := bundles - {bundle_id or min(bundles, default="")}:
        raise BundleError(
            f"the table was scored with bundle {', '.join(sorted(strangers))}, not with {bundle_id or min(bundles)}",
            where=str(predictions),
            todo="compare each batch with the bundle that scored it",
        )
    if not len(observed):
        raise DataError(
            "no photograph to compare: none is scored or ungradable", where=str(predictions), todo="name another table"
        )
    return Batch(
        name=printable(name or predictions.stem),
        sha256=sha256_file(predictions),
        bundle_id=min(bundles),
        observed=observed,
        by_status={status: by_status[status] for status in Status},
        duplicates=duplicates,
    )


def measured(row: PredictionRow) -> dict[str, float | None]:
    """What the reference states of a photograph; the grade's figures only where it is scored."""
    referable = row.referable
    return {
        "megapixels": row.width * row.height / 1e6 if row.width and row.height else None,
        "disc_radius": row.disc_radius,
        "brightness": row.brightness,
        "contrast": row.contrast,
        "sharpness": row.sharpness,
        "red_over_green": row.red_over_green,
        "blue_over_green": row.blue_over_green,
        "quality": row.quality,
        "rejected": float(row.status is not Status.SCORED),
        "expected_grade": row.expected_grade,
        "referable_probability": row.referable_probability,
        "referable": None if referable is None else float(referable),
    }


def require_reference(bundle: Path) -> Reference:
    """The bundle's reference.

    Raises:
        DataError: It has none.
        BundleError: It is damaged.
    """
    reference = read_reference(bundle)
    if reference is None:
        raise DataError(
            "the bundle does not state how the photographs of its development looked",
            where=str(bundle),
            todo="remake it with `dvc repro package`, or compare with an earlier table by --baseline",
        )
    return reference


def baseline_reference(predictions: Path, *, bundle_id: str) -> Reference:
    """A reference of an earlier table, such as a clinic's first months; errors are those of `read_batch`."""
    batch = read_batch(predictions, bundle_id=bundle_id)
    count = len(batch.observed)
    made_from = {"looks": f"{count} photographs of {batch.name}", "scores": f"{batch.by_status[Status.SCORED]} of them"}
    return Reference.of(batch.observed, made_from)
