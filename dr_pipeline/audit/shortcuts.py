"""How well site, camera or geometry alone predict referable disease: what a network would learn instead of the retina.

In RetinaPrep's audit of public sets a photograph's site was recognised at 93.2 % against a base rate of 29.6 %; where
sites differ in disease, a network need not look at the retina.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dr_pipeline.audit.clustered_auc import clustered_auc
from dr_pipeline.audit.findings import SHORTCUTS, Finding
from dr_pipeline.audit.inputs import Evidence
from dr_pipeline.audit.shortcut_model import permuted_areas, predictors_of
from dr_pipeline.audit.shortcut_table import ShortcutTable
from dr_pipeline.metrics.intervals import Estimate

ALL = "all"
_NULL_QUANTILE = 0.99
_CONFIDENCE = 0.95
# Below so many photographs of either kind an area under the curve is mostly chance.
_MIN_OF_A_KIND = 20
# Photographs of a site or camera from which on one grade alone is a finding.
_MIN_OF_A_CATEGORY = 20


@dataclass(frozen=True)
class Shortcut:
    """How well one predictor alone does.

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
        """Whether the area is over the limit, and over what chance gives in one of a hundred sets."""
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
    """Every predictor alone, then all together (their log odds added up, as if independent: naive Bayes)."""
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
    found = []
    for name, count in values.items():
        auc, null = undefined, math.nan
        if name in models:
            scores = np.sum([predictors[part].scores(table.referable) for part in models[name]], axis=0)
            auc = clustered_auc(scores, table.referable, table.blocks, _CONFIDENCE)
            null = float(np.quantile(nulls[name], _NULL_QUANTILE))
        found.append(Shortcut(name, count, auc, null))
    return found


def shortcut_findings(shortcuts: Iterable[Shortcut], limit: float) -> list[Finding]:
    """One finding per predictor that does better than `limit` and than chance."""
    return [Finding(SHORTCUTS, (), shortcut.to_dict()) for shortcut in shortcuts if shortcut.exceeds(limit)]


def one_grade_findings(evidence: Evidence, used: Iterable[str]) -> list[Finding]:
    """One finding per site or camera with 20 or more graded photographs that are all of one grade.

    Nothing is found where the whole data set has one grade only: that is a finding about grades.
    """
    graded = [row for row in (evidence.rows[image_id] for image_id in used) if row["grade"]]
    if len({row["grade"] for row in graded}) < 2:
        return []
    found = []
    for column in ("site", "camera"):
        grades: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for row in graded:
            if row[column]:
                grades[row[column]][int(row["grade"])] += 1
        for name, counts in sorted(grades.items()):
            if len(counts) == 1 and counts.total() >= _MIN_OF_A_CATEGORY:
                detail = {"predictor": column, "value": name, "grade": next(iter(counts)), "n": counts.total()}
                found.append(Finding(SHORTCUTS, (), detail))
    return found
