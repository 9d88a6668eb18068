"""Training targets (the grade, or a distribution that keeps the readers' disagreement) and weights of rare grades."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.params.training import Balance
from dr_pipeline.schema import NUM_GRADES
from dr_pipeline.tables.readings import ReadingRow
from dr_pipeline.tables.splits import SplitRow


def readings_by_photograph(rows: Iterable[ReadingRow]) -> dict[str, list[int]]:
    """The grades of each photograph that several graders read, by image id."""
    readings: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        readings[row.image_id].append(row.grade)
    return dict(readings)


def training_targets(
    rows: Sequence[SplitRow], readings: Mapping[str, Sequence[int]], *, agreement: float, soft: bool
) -> Tensor:
    """One target per photograph.

    With `agreement` a, a target is (1 - a) · one-hot(grade) + a · (relative frequency of each grade among the
    readings). A photograph with a single reading keeps its grade. Training on the readers' distribution rather than on
    its majority follows Peterson et al. (ICCV 2019); the grade's part preserves an adjudicated reference standard.

    Args:
        rows: The photographs, N of them.
        readings: Grades by image id, see `readings_by_photograph`.
        agreement: Weight of the readings' distribution, 0 to 1.
        soft: Return distributions even where `agreement` is 0, as mixing requires.

    Returns:
        int64 (N,) where `agreement` is 0 and `soft` is False; else float32 (N, 5), rows that sum to 1.

    Raises:
        ParamsError: `agreement` is above 0, but no photograph of the data set was read more than once.
    """
    if agreement and not any(len(grades) > 1 for grades in readings.values()):
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
        read = readings.get(row.image_id, ())
        if len(read) > 1:
            frequencies = torch.bincount(torch.tensor(read), minlength=NUM_GRADES).float() / len(read)
            targets[position] = (1 - agreement) * targets[position] + agreement * frequencies
    return targets


def grade_weights(grades: Sequence[int], balance: Balance) -> Tensor:
    """Weight of each grade in the loss, from the number of its training photographs.

    `exponent` weighs a grade of n photographs by n^-exponent, `effective_number` by (1 - beta) / (1 - beta^n) (Cui et
    al., CVPR 2019), `none` alike.

    Args:
        grades: Of the training photographs.
        balance: Which weights.

    Returns:
        float32 (5,), scaled to mean 1 over the photographs; an absent grade has weight 0.

    Raises:
        DataError: There is no photograph, or a grade lies outside 0 … 4.
    """
    if not grades or min(grades) < 0 or max(grades) >= NUM_GRADES:
        raise DataError(
            f"grades cannot be weighted: found {sorted(set(grades)) or 'no photograph'}",
            where="the training part of the fold",
            todo=f"give photographs with grades 0 … {NUM_GRADES - 1}",
        )
    counts = np.bincount(np.asarray(grades), minlength=NUM_GRADES).astype(np.float64)
    present = np.maximum(counts, 1)
    if balance.weights == "exponent":
        raw = present**-balance.exponent
    elif balance.weights == "effective_number":
        raw = (1 - balance.beta) / (1 - balance.beta**present)
    else:
        raw = np.ones(NUM_GRADES)
    raw = np.where(counts > 0, raw, 0.0)
    return torch.tensor(raw * counts.sum() / (raw * counts).sum(), dtype=torch.float32)
