"""Weights of the grades in the loss, which make up for rare ones."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dr_pipeline.errors import DataError
from dr_pipeline.params.training import Balance
from dr_pipeline.schema import NUM_GRADES


def grade_weights(grades: Sequence[int], balance: Balance) -> Tensor:
    """Weight of each grade in the loss, by how many photographs have it.

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
            f"grades cannot be weighed: found {sorted(set(grades)) or 'no photograph'}",
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
