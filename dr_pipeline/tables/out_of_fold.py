"""Tables of logits and probabilities by networks that were not trained on the photographs."""

from dataclasses import dataclass
from typing import Annotated

from dr_pipeline.tables.table import Cell, Fixed6, GradeCell, Table, per_grade

LOGITS_VERSION = 1
FOLD_LOGITS_VERSION = 1
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

FOLD_LOGITS = Table(FoldLogitsRow, version=FOLD_LOGITS_VERSION, todo="remove the folder; the fold is trained again")
read_fold_logits = FOLD_LOGITS.read
write_fold_logits = FOLD_LOGITS.write

OUT_OF_FOLD = Table(OutOfFoldRow, version=PREDICTIONS_VERSION)
read_out_of_fold = OUT_OF_FOLD.read
write_out_of_fold = OUT_OF_FOLD.write
