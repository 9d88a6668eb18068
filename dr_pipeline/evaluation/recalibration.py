"""Fits a bundle's decision again on photographs of another site; its network stays as it is."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided, Decision
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.evaluation.decision_fit import apply_cross_fitted, fit_decision
from dr_pipeline.evaluation.image_metrics import figures, resampling
from dr_pipeline.metrics.bootstrap import bootstrap_sums, paired_qwk_difference
from dr_pipeline.metrics.cross_fitting import held_out_parts
from dr_pipeline.metrics.intervals import Estimate
from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
from dr_pipeline.schema import GRADE_NAMES, GRADES, REFERABLE_FROM

MIN_PHOTOGRAPHS = 50
FEW_OF_A_GRADE = 5


@dataclass(frozen=True)
class Recalibration:
    """The result of a recalibration.

    Attributes:
        decision: Fitted on all N photographs.
        before: The parent's decisions for them.
        after: Those by decisions fitted on the other four fifths of the patients: no photograph grades itself.
        report: `before` and `after`, figures as `image_metrics.figures` gives them, and `difference`, after minus
            before, paired by patient.
    """

    decision: Decision
    before: Decided
    after: Decided
    report: dict[str, Any]


def recalibrate(
    parent: Decision,
    logits: NDArray[np.float64],
    grades: NDArray[np.int64],
    groups: Sequence[str],
    *,
    targets: OperatingPoint,
    params: Evaluation,
    provenance: dict[str, str],
) -> Recalibration:
    """Fits temperature, cut points, operating point and review margin on the labelled photographs of one site.

    Args:
        parent: The decision so far.
        logits: Of the gradable photographs, shape (N, 5).
        grades: By the site's readers, shape (N,).
        groups: The patient of each, N names.
        targets: Target sensitivity, and fraction for human review.
        params: Confidence, bootstrap replicates and their seed.
        provenance: Becomes `fitted_on`.

    Raises:
        DataError: See `require_enough`.
    """
    require_enough(grades, groups)

    def fit(rows: NDArray[np.int64]) -> Decision:
        chosen = [groups[row] for row in rows.tolist()]
        return refit(
            parent, logits[rows], grades[rows], chosen, targets, seed=params.bootstrap_seed, provenance=provenance
        )

    decision = fit(np.arange(len(grades)))
    before, after = parent.apply(logits), apply_cross_fitted(fit, logits, groups)
    report = {
        "before": figures(before, grades, groups, params),
        "after": figures(after, grades, groups, params),
        "difference": differences(before, after, grades, groups, params),
    }
    return Recalibration(decision, before, after, report)


def refit(
    parent: Decision,
    logits: NDArray[np.float64],
    grades: NDArray[np.int64],
    groups: Sequence[str],
    targets: OperatingPoint,
    *,
    seed: int,
    provenance: dict[str, str],
) -> Decision:
    """Fits a decision whose expected grade is the parent's: the order of severity stays, its borders move.

    The temperature calibrates the probabilities. The expected grade, which is cut into grades, would depend on it too,
    and where readers draw a border elsewhere the best calibration may have less order: on a phantom of such readers,
    grades that followed a new temperature lost 0.02 kappa with 100 labels.
    """
    return fit_decision(
        logits,
        grades,
        groups,
        targets,
        seed=seed,
        provenance=provenance,
        severity_temperature=parent.order_temperature,
    )


def require_enough(grades: NDArray[np.int64], groups: Sequence[str]) -> None:
    """Checks that a decision can be fitted on the photographs, and held out.

    Raises:
        DataError: Fewer than 50 photographs; a grade is missing, or is missing in the rest while one fifth of the
            patients is held out.
    """
    if len(grades) < MIN_PHOTOGRAPHS:
        raise DataError(
            f"{len(grades)} gradable photographs with a grade; at least {MIN_PHOTOGRAPHS} are needed",
            where="--labels",
            todo="grade more photographs of this site",
        )
    counts = Counter(grades.tolist())
    missing = [grade for grade in GRADES if not counts[grade]]
    if missing:
        raise DataError(
            f"no gradable photograph of {_listed(missing)}: {_text(counts)}",
            where="--labels",
            todo="grade more photographs until every grade is there, since nothing else shows where this site draws "
            "its borders; where it has none, go on with the parent bundle",
        )
    absent = {
        grade
        for _, rest in held_out_parts(groups)
        for grade in GRADES
        if len(rest) == len(grades) or grade not in grades[rest]
    }
    if absent:
        raise DataError(
            f"too few patients have {_listed(sorted(absent))}: none is left while a fifth of the patients is held out",
            where="--labels",
            todo="grade photographs of further patients with it",
        )


def require_width(report: Mapping[str, Any], max_width: float) -> None:
    """Checks that the interval of the held-out kappa is as narrow as the user asks.

    Args:
        report: Of a recalibration.
        max_width: Of the interval, high minus low.

    Raises:
        GateError: It is wider, or there is none.
    """
    qwk = report["after"]["qwk"]
    if qwk["low"] is None:
        raise GateError("the kappa has no interval: too few patients", where="--max-width", todo="grade more patients")
    width = qwk["high"] - qwk["low"]
    if width > max_width:
        needed = math.ceil(qwk["n"] * (width / max_width) ** 2)
        raise GateError(
            f"the interval of the held-out kappa, {qwk['low']:.3f} to {qwk['high']:.3f} with {qwk['n']} photographs, "
            f"is {width:.3f} wide, more than {max_width:g}",
            where="--max-width",
            todo=f"grade about {needed} photographs (widths go with 1/√n), or ask for less",
        )


def differences(
    before: Decided, after: Decided, true: NDArray[np.int64], groups: Sequence[str], params: Evaluation
) -> dict[str, Any]:
    """After minus before, each with the interval of paired resamplings by patient."""
    referable = true >= REFERABLE_FROM

    def paired(hit_before: NDArray[np.bool_], hit_after: NDArray[np.bool_], among: NDArray[np.bool_]) -> Estimate:
        values = np.stack([(hit_after.astype(float) - hit_before) * among, among.astype(float)], axis=1)
        estimate = bootstrap_sums(_ratio, values, groups, **resampling(params))
        return Estimate(estimate.value, estimate.low, estimate.high, int(among.sum()))

    everyone = np.ones(len(true), dtype=np.bool_)
    estimates = {
        "qwk": paired_qwk_difference(true, after.grade, before.grade, groups, **resampling(params)),
        "accuracy": paired(before.grade == true, after.grade == true, everyone),
        "referable_sensitivity": paired(before.referable, after.referable, referable),
        "referable_specificity": paired(~before.referable, ~after.referable, ~referable),
    }
    return {name: estimate.to_dict() for name, estimate in estimates.items()}


def few_of_a_grade(grades: NDArray[np.int64]) -> str:
    """A warning where a grade has so few photographs that its borders are hardly known; else empty."""
    counts = Counter(grades.tolist())
    few = [grade for grade in GRADES if counts[grade] < FEW_OF_A_GRADE]
    return f"fewer than {FEW_OF_A_GRADE} photographs of {_listed(few)}: its borders are hardly known" if few else ""


def _ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(sums[:, 0] / sums[:, 1])


def _listed(grades: Sequence[int]) -> str:
    return ", ".join(f"grade {grade} ({GRADE_NAMES[grade]})" for grade in grades)


def _text(counts: Mapping[int, int]) -> str:
    return ", ".join(f"{counts.get(grade, 0)} of grade {grade}" for grade in GRADES)
