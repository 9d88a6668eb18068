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
    fold: int | None  # None for test


def read_splits(path: Path) -> list[SplitRow]:
    """All rows of splits.csv, in the order of the file.

    Raises:
        DataError: The table is missing, of another version, or has a grade, split or fold that cannot be.
    """
    rows = []
    for number, row in enumerate(read_csv(path, SPLITS_COLUMNS, version=SPLITS_VERSION), start=2):
        fold = int(row["fold"]) if row["fold"].isdecimal() else None
        grade = int(row["grade"]) if row["grade"].isdecimal() else -1
        right_fold = fold is not None if row["split"] == DEVELOPMENT else row["fold"] == ""
        if grade not in GRADES or row["split"] not in (DEVELOPMENT, Split.TEST) or not right_fold:
            raise DataError(
                f"grade {row['grade']!r}, split {row['split']!r} and fold {row['fold']!r} do not go together",
                where=f"{path}, row {number}",
                todo="remake it with `dvc repro split`",
            )
        rows.append(
            SplitRow(
                row["image_id"], row["patient_id"], row["duplicate_cluster"], row["group"], grade, row["split"], fold
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
            todo=f"use one of {folds}, or raise split.num_folds in params.yaml",
        )
    if split is Split.TEST:
        chosen = [row for row in rows if row.split == Split.TEST]
    elif split is Split.VALIDATION:
        chosen = [row for row in rows if row.fold == fold]
    else:
        chosen = [row for row in rows if row.fold is not None and row.fold != fold]
    if not chosen:
        raise DataError(f"the {split} part is empty", where="the split", todo="remake it with `dvc repro split`")
    return chosen
