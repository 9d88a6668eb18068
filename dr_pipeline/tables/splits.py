"""data/splits.csv: which part each graded photograph is in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from dr_pipeline.errors import DataError
from dr_pipeline.schema import Eye, Split
from dr_pipeline.tables.table import Cell, GradeCell, Table

VERSION = 2
DEVELOPMENT = "development"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRow:
    """One photograph."""

    image_id: str
    patient_id: str = ""  # empty: unknown
    eye: Eye = Eye.UNKNOWN
    visit: str = ""
    site: str = ""
    duplicate_cluster: str = ""  # empty: none
    group: str  # patients joined by duplicates and eyes: the unit that is never divided between parts
    grade: GradeCell
    split: Annotated[str, Cell(among=(DEVELOPMENT, Split.TEST.value))]
    # Fold k is the validation part of fold k's training. None: test, or in every training part.
    fold: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where split and fold do not go together."""
        if self.fold is not None and (self.split != DEVELOPMENT or self.fold < 0):
            raise ValueError(f"split {self.split!r} and fold {self.fold} do not go together")

    @property
    def examination(self) -> str:
        """The patient at one visit; empty: patient unknown."""
        return f"{self.patient_id}\0{self.visit}" if self.patient_id else ""

    @property
    def part(self) -> str:
        """The part's name: "test", "fold 0" and so on, or "train" where it is in every training part."""
        if self.split == Split.TEST:
            return Split.TEST.value
        return Split.TRAIN.value if self.fold is None else f"fold {self.fold}"


SPLITS = Table(SplitRow, version=VERSION, todo="run `dvc repro split`, which writes it again")
read_splits = SPLITS.read
write_splits = SPLITS.write


def select_split(rows: Sequence[SplitRow], split: Split, fold: int) -> list[SplitRow]:
    """The photographs of one part, in the order of `rows`.

    Args:
        rows: All rows of splits.csv.
        split: Which part.
        fold: Whose training and validation part; the test part is the same for every fold.

    Raises:
        DataError: There is no such fold, or the part is empty.
    """
    folds = sorted({row.fold for row in rows if row.fold is not None})
    if split is not Split.TEST and fold not in folds:
        raise DataError(
            f"there is no fold {fold}",
            where="the split",
            todo=f"use one of {folds}, or set split.validation and split.num_folds in params.yaml accordingly",
        )
    if split is Split.TEST:
        selected = [row for row in rows if row.split == Split.TEST]
    elif split is Split.VALIDATION:
        selected = [row for row in rows if row.fold == fold]
    else:
        selected = [row for row in rows if row.split == DEVELOPMENT and row.fold != fold]
    if not selected:
        raise DataError(f"the {split} part is empty", where="the split", todo="run `dvc repro split`")
    return selected
