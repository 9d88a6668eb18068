"""Reads splits.csv and picks a part of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv
from dr_pipeline.schema import GRADES, SPLITS_COLUMNS, SPLITS_VERSION, Split

DEVELOPMENT = "development"


@dataclass(frozen=True)
class SplitRow:
    """One photograph of splits.csv."""

    image_id: str
    patient_id: str  # empty: unknown
    duplicate_cluster: str  # empty: none
    group: str
    grade: int
    split: str  # "test" or "development"
    fold: int | None  # None for test, and for development photographs that are never a validation part
    eye: str = ""  # empty: unknown
    site: str = ""  # empty: unknown
    visit: str = ""  # empty: unknown

    @property
    def examination(self) -> str:
        """The patient at one visit; empty: patient unknown."""
        return f"{self.patient_id}\0{self.visit}" if self.patient_id else ""

    @property
    def part(self) -> str:
        """Where it lies, in words: "test", "fold 0" and so on, or "train" where it is in every training part."""
        if self.split == Split.TEST:
            return Split.TEST.value
        return Split.TRAIN.value if self.fold is None else f"fold {self.fold}"


def read_splits(path: Path) -> list[SplitRow]:
    """All rows of splits.csv, in the order of the file.

    Raises:
        DataError: The table is missing, of another version, or has a grade, split or fold that cannot be.
    """
    rows = []
    for number, row in enumerate(read_csv(path, SPLITS_COLUMNS, version=SPLITS_VERSION), start=2):
        fold = int(row["fold"]) if row["fold"].isdecimal() else None
        grade = int(row["grade"]) if row["grade"].isdecimal() else -1
        right_fold = row["fold"] == "" or (fold is not None and row["split"] == DEVELOPMENT)
        if grade not in GRADES or row["split"] not in (DEVELOPMENT, Split.TEST) or not right_fold:
            raise DataError(
                f"grade {row['grade']!r}, split {row['split']!r} and fold {row['fold']!r} do not go together",
                where=f"{path}, row {number}",
                todo="remake it with `dvc repro split`",
            )
        rows.append(
            SplitRow(
                image_id=row["image_id"],
                patient_id=row["patient_id"],
                duplicate_cluster=row["duplicate_cluster"],
                group=row["group"],
                grade=grade,
                split=row["split"],
                fold=fold,
                eye=row["eye"],
                visit=row["visit"],
                site=row["site"],
            )
        )
    return rows


def part(rows: Sequence[SplitRow], split: Split, fold: int) -> list[SplitRow]:
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
        chosen = [row for row in rows if row.split == Split.TEST]
    elif split is Split.VALIDATION:
        chosen = [row for row in rows if row.fold == fold]
    else:
        chosen = [row for row in rows if row.split == DEVELOPMENT and row.fold != fold]
    if not chosen:
        raise DataError(f"the {split} part is empty", where="the split", todo="remake it with `dvc repro split`")
    return chosen
