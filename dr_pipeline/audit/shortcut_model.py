"""Predicting disease from categories alone: the mean of the labels outside a photograph's fold (target encoding)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.clustered_auc import auc_of_cells
from dr_pipeline.audit.permute_labels import dealt_labels
from dr_pipeline.audit.shortcut_table import ShortcutTable
from dr_pipeline.files import sha256_bytes

_FOLDS = 5
_SALT = "dr_pipeline audit"
_SEED = 20
_PERMUTATIONS = 200
# Photographs by which a category's mean is drawn to the mean of all: a category of three says little.
_PRIOR_WEIGHT = 10.0


@dataclass(frozen=True)
class Predictor:
    """A predictor's categories as numbers.

    Attributes:
        cells: Fold and category of each photograph in one number, shape (N,).
        totals: Photographs in each fold and category, shape (folds, categories).
    """

    cells: NDArray[np.int64]
    totals: NDArray[np.float64]

    def log_odds(self, referable: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How much the labels outside each fold speak for disease, per cell, shape (folds · categories,).

        Less the log odds of all labels outside the fold: else a fold poor in disease, whose outside is rich in it,
        would have the higher scores.
        """
        diseased = np.bincount(self.cells[referable], minlength=self.totals.size).reshape(self.totals.shape)
        outside, diseased_outside = self.totals.sum(axis=0) - self.totals, diseased.sum(axis=0) - diseased
        sums = outside.sum(axis=1, keepdims=True)
        prior = (diseased_outside.sum(axis=1, keepdims=True) + 0.5) / (sums + 1)
        mean = (diseased_outside + _PRIOR_WEIGHT * prior) / (outside + _PRIOR_WEIGHT)
        return np.asarray(_logit(mean) - _logit(prior)).ravel()

    def scores(self, referable: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The same per photograph, shape (N,)."""
        return self.log_odds(referable)[self.cells]


def predictors_of(table: ShortcutTable) -> dict[str, Predictor]:
    """Every predictor of the table; folds hold whole blocks and follow from their names alone."""
    of_block = [int(sha256_bytes(f"{_SALT}:{name}".encode())[:12], 16) % _FOLDS for name in table.block_names]
    folds = np.array(of_block, dtype=np.int64)[table.blocks]
    return {name: _predictor(column, folds) for name, column in table.categories.items()}


def permuted_areas(
    predictors: Mapping[str, Predictor], models: Mapping[str, Sequence[str]], table: ShortcutTable
) -> dict[str, list[float]]:
    """Areas of each model where whole patients' labels are dealt out anew.

    Args:
        predictors: By name.
        models: By name, the names of the predictors whose log odds are added up.
        table: Whose labels and blocks.

    Returns:
        200 areas by the model's name.
    """
    cells = {model: _joint_cells([predictors[name] for name in names]) for model, names in models.items()}
    areas: dict[str, list[float]] = {model: [] for model in models}
    for dealt in dealt_labels(table.referable, table.blocks, count=_PERMUTATIONS, seed=_SEED):
        odds = {name: predictor.log_odds(dealt) for name, predictor in predictors.items()}
        for model, names in models.items():
            cell, first = cells[model]
            scores = np.sum([odds[name][predictors[name].cells[first]] for name in names], axis=0)
            diseased = np.bincount(cell[dealt], minlength=len(first))
            healthy = np.bincount(cell, minlength=len(first)) - diseased
            areas[model].append(auc_of_cells(scores, diseased.astype(np.float64), healthy.astype(np.float64)))
    return areas


def _predictor(column: Sequence[str], folds: NDArray[np.int64]) -> Predictor:
    names, category = np.unique(np.asarray(column), return_inverse=True)
    cells = folds * len(names) + category
    totals = np.bincount(cells, minlength=_FOLDS * len(names)).reshape(_FOLDS, len(names))
    return Predictor(cells.astype(np.int64), totals.astype(np.float64))


def _joint_cells(predictors: Sequence[Predictor]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Photographs that agree in every predictor share a cell: the cell of each, and the first one of each cell."""
    cell = predictors[0].cells
    for predictor in predictors[1:]:
        _, cell = np.unique(cell * predictor.totals.size + predictor.cells, return_inverse=True)
    _, first, joint = np.unique(cell, return_index=True, return_inverse=True)
    return joint, first


def _logit(share: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(share) - np.log1p(-share)
