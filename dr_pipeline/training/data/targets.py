"""What the network is to answer: the grade, or a distribution that keeps the readers' disagreement."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import read_csv
from dr_pipeline.schema import GRADES, NUM_GRADES, READINGS_COLUMNS, READINGS_VERSION
from dr_pipeline.tables.splits import SplitRow


def read_readings(path: Path) -> dict[str, list[int]]:
    """The grades that readers gave, by image id, from data/readings.csv.

    It holds the photographs that several graders read; any other has its one grade in the manifest.

    Raises:
        DataError: The table is missing or of another version, or a grade is not one of 0–4.
    """
    readings: defaultdict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(read_csv(path, READINGS_COLUMNS, version=READINGS_VERSION), start=2):
        if row["grade"] not in {str(grade) for grade in GRADES}:
            raise DataError(
                f"a reading of {row['grade']!r}; grades are 0, 1, 2, 3, 4",
                where=f"{path}, row {number}",
                todo="remake it with `dvc repro intake`",
            )
        readings[row["image_id"]].append(int(row["grade"]))
    return dict(readings)


def training_targets(
    rows: Sequence[SplitRow], readings: Mapping[str, Sequence[int]], *, agreement: float, soft: bool
) -> Tensor:
    """One target per photograph.

    With `agreement` a, a target is (1 - a) · one-hot(grade) + a · (each grade's share of the readings). A photograph
    that nobody read a second time keeps its grade alone. Learning from the readers' distribution rather than from its
    majority is Peterson et al.'s (ICCV 2019); the grade's part holds on to a reference standard that was adjudicated.

    Args:
        rows: The photographs, N of them.
        readings: Grades by image id, see `read_readings`.
        agreement: Share of the readings' distribution, 0 to 1.
        soft: Whether distributions are needed even where `agreement` is 0, as mixing needs them.

    Returns:
        int64 (N,) where `agreement` is 0 and `soft` is not asked for; else float32 (N, 5), rows that sum to 1.

    Raises:
        ParamsError: `agreement` is above 0, but no photograph of the data set was read more than once.
    """
    if agreement and not any(len(given) > 1 for given in readings.values()):
        raise ParamsError(
            f"reader_agreement is {agreement:g}, but no photograph was read by several graders",
            where="params.yaml, training.reader_agreement",
            todo="set it to 0, or name the graders' column in dataset.folder.columns.grader, one row per reading",
        )
    grades = torch.tensor([row.grade for row in rows], dtype=torch.long)
    if not agreement and not soft:
        return grades
    targets = one_hot(grades, NUM_GRADES).float()
    if not agreement:
        return targets
    for position, row in enumerate(rows):
        given = readings.get(row.image_id, ())
        if len(given) > 1:
            shares = torch.bincount(torch.tensor(given), minlength=NUM_GRADES).float() / len(given)
            targets[position] = (1 - agreement) * targets[position] + agreement * shares
    return targets
