"""Summarises how the photographs of development looked, for the bundle's reference.json.

Looks, quality and rejection are those of the training and validation photographs; scores are those of the validation
photographs alone, since a network is over-confident on what it was trained on. The test part is never read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.reference import Observations, Reference
from dr_pipeline.errors import GateError
from dr_pipeline.files import sha256_file
from dr_pipeline.schema import Split, Status
from dr_pipeline.tables.canvas_index import CanvasRow, read_canvas_index
from dr_pipeline.tables.gradability import read_gradability
from dr_pipeline.tables.graded import GradedRow, read_graded
from dr_pipeline.tables.splits import DEVELOPMENT, SplitRow, read_splits, select_split


@dataclass(frozen=True)
class DevelopmentData:
    """Where the tables of the development photographs lie.

    Attributes:
        canvas_index: How each photograph looks.
        splits: Which part each is in.
        statuses: Whether each is gradable (gradability.csv).
        validation: The candidate's grades of the validation photographs.
        manifest: What the labels state of each, such as its camera.
    """

    canvas_index: Path
    splits: Path
    statuses: Path
    validation: Path
    manifest: Path


def training_reference(data: DevelopmentData, *, fold: int, splits_sha256: str, decision: Decision) -> Reference:
    """The reference of the candidate that was trained on `fold` of these splits.

    Args:
        data: The tables.
        fold: The deployed fold.
        splits_sha256: The split that the candidate was trained on.
        decision: The bundle's.

    Raises:
        GateError: The split is another; no development photograph is left.
        DataError: A table is missing or damaged.
    """
    if (found := sha256_file(data.splits)) != splits_sha256:
        what = f"the network was trained on the split {splits_sha256}, this is {found}"
        raise GateError(what, where=str(data.splits), todo="dvc repro")
    splits = read_splits(data.splits)
    parts = {split: select_split(splits, split, fold) for split in (Split.TRAIN, Split.VALIDATION)}
    graded = {row.image_id: row for row in read_graded(data.validation)}
    index = {row.image_id: row for row in read_canvas_index(data.canvas_index)}
    statuses = {row.image_id: row.status for row in read_gradability(data.statuses)}
    needed = {row.image_id for part in parts.values() for row in part}
    if missing := sorted(needed - (index.keys() & statuses.keys())):
        raise GateError(
            f"{len(missing)} photographs of the split have no canvas or status, such as {missing[0]!r}",
            where=str(data.canvas_index),
            todo="dvc repro",
        )
    observed = Observations.of(
        (row.group, row.site, index[row.image_id].camera, measured)
        for part in parts.values()
        for row in part
        for measured in _measured(row, index, statuses, graded, decision)
    )
    if not len(observed):
        raise GateError("no photograph of development shows a fundus", where=str(data.canvas_index))
    made_from = {
        "looks": f"{len(parts[Split.TRAIN])} training and {len(parts[Split.VALIDATION])} validation photographs",
        "scores": f"{len(parts[Split.VALIDATION])} validation photographs",
        "splits_sha256": splits_sha256,
        "fold": str(fold),
        "canvas_index_sha256": sha256_file(data.canvas_index),
    }
    return Reference.of(observed, made_from)


def development_pixels(data: DevelopmentData) -> list[str]:
    """The pixel hashes of the training and validation photographs, of any fold; never of test photographs."""
    developed = {row.image_id for row in read_splits(data.splits) if row.split == DEVELOPMENT}
    return [row.pixel_hash for row in read_canvas_index(data.canvas_index) if row.image_id in developed]


def _measured(
    row: SplitRow,
    index: Mapping[str, CanvasRow],
    statuses: Mapping[str, Status],
    graded: Mapping[str, GradedRow],
    decision: Decision,
) -> Iterator[dict[str, float | None]]:
    """What was measured of one photograph; nothing where it shows no fundus."""
    canvas, status = index[row.image_id], statuses[row.image_id]
    if status not in (Status.SCORED, Status.UNGRADABLE):
        return
    score = graded.get(row.image_id) if status is Status.SCORED else None
    scores: dict[str, float | None] = {}
    if score is not None:
        referable = score.referable_probability >= decision.referable_threshold
        scores = {
            "expected_grade": score.expected_grade,
            "referable_probability": score.referable_probability,
            "referable": float(referable),
        }
    yield scores | {
        "megapixels": canvas.width * canvas.height / 1e6 if canvas.width and canvas.height else None,
        "disc_radius": canvas.disc_radius,
        "brightness": canvas.brightness,
        "contrast": canvas.contrast,
        "sharpness": canvas.sharpness,
        "red_over_green": canvas.red_over_green,
        "blue_over_green": canvas.blue_over_green,
        "quality": canvas.quality,
        "rejected": float(status is not Status.SCORED),
    }
