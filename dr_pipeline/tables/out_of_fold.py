"""Tables of logits and probabilities by networks that were not trained on the photographs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from dr_pipeline.errors import DataError
from dr_pipeline.tables.table import Cell, Fixed6, GradeCell, Table, per_grade

LOGITS_VERSION = 1
FOLD_LOGITS_VERSION = 2
PREDICTIONS_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitsRow:
    """Logits of one validation photograph by combinations that were not fitted on it, beside a fitted ensemble."""

    image_id: str
    logits: Annotated[tuple[float, ...], per_grade("logit")]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldLogitsRow:
    """Logits of one photograph of an experiment's fold, as cached; nine digits restore a 32-bit float exactly."""

    part: Annotated[str, Cell(among=("validation", "outer"))]
    camera: str = ""  # through which the photograph was sent; "" as it is
    image_id: str
    logits: Annotated[tuple[float, ...], per_grade("logit", ".9g")]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfFoldRow:
    """One photograph's out-of-fold prediction by one arm of an experiment."""

    image_id: str
    patient_id: str
    group: str
    grade: GradeCell
    fold: int  # the outer one: neither network nor decision was fitted on the photograph
    logits: Annotated[tuple[float, ...], per_grade("logit")]
    probabilities: Annotated[tuple[float, ...], per_grade("p")]  # calibrated on the fold's inner validation part
    expected_grade: Fixed6
    referable_probability: Fixed6
    predicted: GradeCell


OUT_OF_FOLD_LOGITS = Table(LogitsRow, version=LOGITS_VERSION)
read_out_of_fold_logits = OUT_OF_FOLD_LOGITS.read
write_out_of_fold_logits = OUT_OF_FOLD_LOGITS.write


def aligned_logits(rows: Iterable[LogitsRow], image_ids: Sequence[str], *, where: str) -> list[tuple[float, ...]]:
    """The five logits of each photograph, in the order of `image_ids`.

    Raises:
        DataError: A photograph has no row.
    """
    by_id = {row.image_id: row.logits for row in rows}
    if missing := [image_id for image_id in image_ids if image_id not in by_id]:
        raise DataError(f"no logits of {missing[0]!r}", where=where, todo="run `dvc repro`")
    return [by_id[image_id] for image_id in image_ids]


FOLD_LOGITS = Table(FoldLogitsRow, version=FOLD_LOGITS_VERSION, todo="remove the folder; the fold is trained again")
read_fold_logits = FOLD_LOGITS.read
write_fold_logits = FOLD_LOGITS.write

OUT_OF_FOLD = Table(OutOfFoldRow, version=PREDICTIONS_VERSION)
read_out_of_fold = OUT_OF_FOLD.read
write_out_of_fold = OUT_OF_FOLD.write
