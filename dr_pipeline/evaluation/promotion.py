"""Whether a challenger may replace the champion: both graded the same photographs, and the margins stand in advance.

The rule is that of a non-inferiority trial (Piaggio et al., JAMA 2012;308:2594): it is shown that the challenger is not
worse by more than the margin, so that few photographs, whose intervals are wide, show nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import GateError
from dr_pipeline.evaluation.image_metrics import resampling
from dr_pipeline.evaluation.recalibration import differences
from dr_pipeline.metrics.bootstrap import qwk_estimate
from dr_pipeline.metrics.intervals import clustered_proportion, format_estimate
from dr_pipeline.params.evaluation import Evaluation, Promotion
from dr_pipeline.schema import REFERABLE_FROM
from dr_pipeline.tables.compared import ComparedRow


@dataclass(frozen=True)
class Grading:
    """What one version says of N photographs."""

    grade: NDArray[np.int64]  # (N,)
    referable: NDArray[np.bool_]  # (N,)


@dataclass(frozen=True)
class Comparison:
    """The figures of two versions on the same photographs.

    Attributes:
        champion: `qwk` and `referable_sensitivity`, each {"value", "low", "high", "n"}.
        challenger: The same figures.
        difference: Challenger minus champion, paired by patient.
        failures: A sentence for each margin that is not kept; none: the challenger may replace the champion.
    """

    champion: dict[str, Any]
    challenger: dict[str, Any]
    difference: dict[str, Any]
    failures: tuple[str, ...]

    def lines(self) -> list[str]:
        """The figures, one per line."""
        return [
            f"{title}: {format_estimate(self.challenger[name])}, champion {format_estimate(self.champion[name])}, "
            f"difference {format_estimate(self.difference[name])}"
            for name, title in (("qwk", "QWK"), ("referable_sensitivity", "referable sensitivity"))
        ]


def compare_versions(
    challenger: Sequence[ComparedRow], champion: Sequence[ComparedRow], margins: Promotion, params: Evaluation
) -> Comparison:
    """Compares two versions by quadratic weighted kappa and by their sensitivity for referable disease.

    The lower bound of the paired difference of kappa must reach minus its margin. Of the sensitivity it is the
    difference itself: few photographs are referable, and their interval, which is stated, would refuse nearly everyone.

    Args:
        challenger: Its graded photographs.
        champion: Those of the present champion, in any order.
        margins: What may be lost.
        params: Confidence, bootstrap replicates and their seed.

    Raises:
        GateError: They are not of the same photographs with the same true grades, or there is none.
    """
    first, second = sorted(challenger, key=_photograph), sorted(champion, key=_photograph)
    _require_same_photographs(first, second)
    true = np.array([row.grade for row in first], dtype=np.int64)
    groups = [row.group for row in first]
    new, present = _grading(first), _grading(second)
    difference = differences(present, new, true, groups, params)
    difference = {name: difference[name] for name in ("qwk", "referable_sensitivity")}
    return Comparison(
        champion=_figures(present, true, groups, params),
        challenger=_figures(new, true, groups, params),
        difference=difference,
        failures=tuple(_failures(difference, margins)),
    )


def _failures(difference: dict[str, Any], margins: Promotion) -> list[str]:
    failures = []
    low, change = difference["qwk"]["low"], difference["referable_sensitivity"]["value"]
    if low is None or low < -margins.qwk_margin:
        bound = "has no interval" if low is None else f"may be as low as {low:.3f}"
        failures.append(f"the difference of QWK {bound}; it must be at least -{margins.qwk_margin:g} (qwk_margin)")
    if change is None or change < -margins.referable_sensitivity_margin:
        value = "is undefined" if change is None else f"is {change:.3f}"
        failures.append(
            f"the difference of the referable sensitivity {value}; it must be at least "
            f"-{margins.referable_sensitivity_margin:g} (referable_sensitivity_margin)"
        )
    return failures


def _require_same_photographs(first: Sequence[ComparedRow], second: Sequence[ComparedRow]) -> None:
    ours, theirs = ({row.photograph: row.grade for row in rows} for rows in (first, second))
    if not ours or ours.keys() != theirs.keys() or len(ours) != len(first) or len(theirs) != len(second):
        raise GateError(
            f"the versions graded different photographs: {len(first)} and {len(second)}, "
            f"{len(ours.keys() & theirs.keys())} of them in common",
            todo="compare versions that were tested on one split",
        )
    if changed := sum(ours[photograph] != theirs[photograph] for photograph in ours):
        raise GateError(
            f"{changed} photographs have another true grade in one version than in the other",
            todo="compare versions that were tested with the same labels",
        )


def _photograph(row: ComparedRow) -> str:
    return row.photograph


def _grading(rows: Sequence[ComparedRow]) -> Grading:
    return Grading(
        np.array([row.predicted for row in rows], dtype=np.int64),
        np.array([row.referable for row in rows], dtype=np.bool_),
    )


def _figures(grading: Grading, true: NDArray[np.int64], groups: Sequence[str], params: Evaluation) -> dict[str, Any]:
    rows = np.flatnonzero(true >= REFERABLE_FROM)
    of_groups = [groups[row] for row in rows.tolist()]
    return {
        "qwk": qwk_estimate(true, grading.grade, groups, **resampling(params)).to_dict(),
        "referable_sensitivity": clustered_proportion(grading.referable[rows], of_groups, params.confidence).to_dict(),
    }
