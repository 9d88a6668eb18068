"""The shortcut finder: how well site, camera or geometry alone predict referable disease.

In RetinaPrep's audit of public sets a photograph's site was recognised at 93.2 % against a base rate of 29.6 %. Where
sites differ in prevalence, a network can learn the site instead of the retina. The model is target encoding out of
fold: the mean of the labels of a category outside a photograph's fold.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.clustered_auc import auc_of_cells, clustered_auc, permute_labels
from dr_pipeline.audit.findings import SHORTCUTS, Finding
from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.audit.shortcut_table import ShortcutTable
from dr_pipeline.files import sha256_bytes
from dr_pipeline.metrics.intervals import Estimate

ALL = "all"
_NULL_QUANTILE = 0.99
_CONFIDENCE = 0.95
# With fewer photographs of either kind the area under the curve is mostly noise.
_MIN_OF_A_KIND = 20
# From this number of photographs on, a site or camera with one grade only is a finding.
_MIN_OF_A_CATEGORY = 20
_FOLDS = 5
_SALT = "dr_pipeline audit"
_SEED = 20
_PERMUTATIONS = 200
# Weight of the overall mean, in photographs, in a category's mean (m-estimate smoothing).
_PRIOR_WEIGHT = 10.0


@dataclass(frozen=True)
class Shortcut:
    """The performance of one predictor alone.

    Attributes:
        predictor: A key of the table's categories, or `all` of them together.
        num_categories: How many values it has.
        auc: Of referable disease, out of fold; nan where it cannot be measured.
        null: The 99th percentile of the area where labels are permuted between patients; nan with it.
    """

    predictor: str
    num_categories: int
    auc: Estimate
    null: float

    def exceeds(self, limit: float) -> bool:
        """Whether the area exceeds both the limit and the 99th percentile of the permutations."""
        return self.auc.value > max(limit, self.null)

    def to_dict(self) -> dict[str, Any]:
        """As `shortcuts` of reports/audit.json lists it."""
        figure = {
            key: round(value, 4) if isinstance(value, float) else value for key, value in self.auc.to_dict().items()
        }
        if figure["value"] is None:
            figure["note"] = f"not measured: one value only, or fewer than {_MIN_OF_A_KIND} photographs of a kind"
        null = round(self.null, 4) if math.isfinite(self.null) else None
        return {"predictor": self.predictor, "values": self.num_categories, "auc": figure, "null_99th": null}


def measure_shortcuts(table: ShortcutTable) -> list[Shortcut]:
    """Every predictor alone, then all together (sum of their log odds: naive Bayes)."""
    values = {name: len(set(column)) for name, column in table.categories.items()}
    values[ALL] = len(set(zip(*table.categories.values(), strict=True)))
    kinds = (int(table.referable.sum()), int((~table.referable).sum()))
    measured = {name for name, count in values.items() if count > 1} if min(kinds) >= _MIN_OF_A_KIND else set()
    undefined = Estimate(math.nan, math.nan, math.nan, len(table.image_ids))
    if not measured:
        return [Shortcut(name, count, undefined, math.nan) for name, count in values.items()]
    predictors = {name: predictor for name, predictor in predictors_of(table).items() if name in measured}
    models = {name: [name] for name in predictors} | {ALL: list(predictors)}
    nulls = permuted_areas(predictors, models, table)
    shortcuts = []
    for name, count in values.items():
        auc, null = undefined, math.nan
        if name in models:
            scores = np.sum([predictors[part].scores(table.referable) for part in models[name]], axis=0)
            auc = clustered_auc(scores, table.referable, table.blocks, _CONFIDENCE)
            null = float(np.quantile(nulls[name], _NULL_QUANTILE))
        shortcuts.append(Shortcut(name, count, auc, null))
    return shortcuts


def shortcut_findings(shortcuts: Iterable[Shortcut], limit: float) -> list[Finding]:
    """One finding per predictor that exceeds `limit` and chance."""
    return [Finding(SHORTCUTS, (), shortcut.to_dict()) for shortcut in shortcuts if shortcut.exceeds(limit)]


def one_grade_findings(inputs: AuditInputs, used: Iterable[str]) -> list[Finding]:
    """One finding per site or camera with 20 or more graded photographs that are all of one grade.

    There is none where the whole data set has one grade only: that is a finding about grades.
    """
    graded = [row for row in (inputs.rows[image_id] for image_id in used) if row.grade is not None]
    if len({row.grade for row in graded}) < 2:
        return []
    findings = []
    for column in ("site", "camera"):
        grades: defaultdict[str, Counter[int | None]] = defaultdict(Counter)
        for row in graded:
            if name := getattr(row, column):
                grades[name][row.grade] += 1
        for name, counts in sorted(grades.items()):
            if len(counts) == 1 and counts.total() >= _MIN_OF_A_CATEGORY:
                detail = {"predictor": column, "value": name, "grade": next(iter(counts)), "n": counts.total()}
                findings.append(Finding(SHORTCUTS, (), detail))
    return findings


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
        """Log odds of disease from the labels outside each fold, per cell, shape (folds · categories,).

        The log odds of all labels outside the fold are subtracted: otherwise a fold with little disease, whose
        outside has more, would get higher scores.
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
    """Every predictor of the table; the fold of a block depends on its name alone."""
    of_block = [int(sha256_bytes(f"{_SALT}:{name}".encode())[:12], 16) % _FOLDS for name in table.block_names]
    folds = np.array(of_block, dtype=np.int64)[table.blocks]
    return {name: _predictor(column, folds) for name, column in table.categories.items()}


def permuted_areas(
    predictors: Mapping[str, Predictor], models: Mapping[str, Sequence[str]], table: ShortcutTable
) -> dict[str, list[float]]:
    """Areas of each model where whole patients' labels are permuted.

    Args:
        predictors: By name.
        models: By name, the names of the predictors whose log odds are added up.
        table: Whose labels and blocks.

    Returns:
        200 areas by the model's name.
    """
    cells = {model: _joint_cells([predictors[name] for name in names]) for model, names in models.items()}
    areas: dict[str, list[float]] = {model: [] for model in models}
    for permuted in permute_labels(table.referable, table.blocks, count=_PERMUTATIONS, seed=_SEED):
        odds = {name: predictor.log_odds(permuted) for name, predictor in predictors.items()}
        for model, names in models.items():
            cell, first = cells[model]
            scores = np.sum([odds[name][predictors[name].cells[first]] for name in names], axis=0)
            diseased = np.bincount(cell[permuted], minlength=len(first))
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


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(p) - np.log1p(-p)
