"""The figures of a grader under shifts, paired with its figures without: same photographs, same resamplings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.evaluation.paired_figures import Auc, OfSums, brier_figure, ece_figure, proportion_figure, qwk_figure
from dr_pipeline.evaluation.reader_shift import ReaderShift
from dr_pipeline.fundus.camera_models import CAMERA_MODELS, amount
from dr_pipeline.metrics.intervals import clustered_proportion
from dr_pipeline.schema import GRADES, NUM_GRADES, REFERABLE_FROM

if TYPE_CHECKING:  # it imports pydantic, which a clinic need not have
    from dr_pipeline.evaluation.image_metrics import Resampling

LEVELS = {"mild": 1 / 3, "moderate": 2 / 3, "severe": 1.0}
CAMERA, READER = "camera", "reader"
# The photographs that figures are of: all that have an answer, and those that the gate lets through before and after.
ALL, GRADABLE = "all", "gradable"
_LEAST_PROBABILITY = 1e-12


def severity(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the four log odds of a grade of at least 1, 2, 3, 4; shape (N,) of (N, 5).

    In a model of proportional odds (McCullagh, J R Stat Soc B 1980;42:109) each of them is one latent severity minus a
    border, so that their mean is the severity itself. Unlike a probability it has no ceiling.
    """
    lifted = probabilities + _LEAST_PROBABILITY
    odds = [np.log(lifted[:, grade:].sum(axis=1)) - np.log(lifted[:, :grade].sum(axis=1)) for grade in GRADES[1:]]
    return np.asarray(np.mean(odds, axis=0))


# Scores of referable disease, by name.
SCORES: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "expected_grade": lambda probabilities: probabilities @ np.arange(NUM_GRADES),
    "cumulative_probability": lambda probabilities: probabilities[:, REFERABLE_FROM:].sum(axis=1),
    "severity": severity,
}
AUC = "auc_"
DEFAULT_SCORE = "expected_grade"  # that of the bundle's operating point


def _figures(answers: Answers, grades: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "qwk": qwk_figure(grades, answers.grade),
        **{AUC + name: Auc(score(answers.probabilities), grades >= REFERABLE_FROM) for name, score in SCORES.items()},
        "ece": ece_figure(answers.probabilities, grades),
        "brier": brier_figure(answers.probabilities, grades),
    }


def compare(
    clean: tuple[Answers, NDArray[np.int64]],
    shifted: tuple[Answers, NDArray[np.int64]],
    groups: Sequence[str],
    drawn: "Resampling",
) -> dict[str, Any]:
    """The figures of `shifted`, each with its difference from that of `clean` under `change`.

    Args:
        clean: Answers for N photographs, and their grades by the readers, shape (N,).
        shifted: The same of the same photographs under a shift, or by another grader.
        groups: The patient, or whatever stays together, of each; N names.
        drawn: Replicates, seed and confidence.

    Returns:
        Under "all" and "gradable" each figure as {"value", "low", "high", "n", "change": {…}}; only photographs that
        have an answer in both count. The area of each other score has its difference from that of `DEFAULT_SCORE`
        under "minus_default_score". "all" has sensitivity and specificity of referral, too, of all photographs: one
        without a grade is referred. `rejected`: the fraction that gets no grade, `referral_changes`: that whose
        referral is another, each with its interval; `unanswered`: how many have no answer at all (no fundus
        photograph).
    """
    before, after = clean[0], shifted[0]
    masks = {ALL: before.answered & after.answered, GRADABLE: before.scored & after.scored}
    result: dict[str, Any] = {
        "rejected": clustered_proportion(~after.scored, groups, drawn["confidence"]).to_dict(),
        "referral_changes": clustered_proportion(
            after.referred != before.referred, groups, drawn["confidence"]
        ).to_dict(),
        "unanswered": int((~after.answered).sum()),
    }
    for among, mask in masks.items():
        rows = np.flatnonzero(mask)
        units = [groups[row] for row in rows.tolist()]
        one, other = (_figures(answers.select(rows), grades[rows]) for answers, grades in (shifted, clean))
        with np.errstate(invalid="ignore", divide="ignore"):  # a figure of no photograph is undefined
            result[among] = {
                name: figure.estimate(units, drawn).to_dict()
                | {"change": figure.minus(other[name], units, drawn).to_dict()}
                for name, figure in one.items()
            }
            for name in SCORES.keys() - {DEFAULT_SCORE}:
                difference = one[AUC + name].minus(one[AUC + DEFAULT_SCORE], units, drawn)
                result[among][AUC + name]["minus_default_score"] = difference.to_dict()
    result[ALL] |= _referral(clean, shifted, groups, drawn)
    return result


def _referral(
    clean: tuple[Answers, NDArray[np.int64]],
    shifted: tuple[Answers, NDArray[np.int64]],
    groups: Sequence[str],
    drawn: "Resampling",
) -> dict[str, Any]:
    """Sensitivity and specificity of referral by intention to screen, each with its change."""

    def figures(answers: Answers, grades: NDArray[np.int64]) -> dict[str, tuple[OfSums, int]]:
        referable = grades >= REFERABLE_FROM
        return {
            "referable_sensitivity": (proportion_figure(answers.referred, referable), int(referable.sum())),
            "referable_specificity": (proportion_figure(~answers.referred, ~referable), int((~referable).sum())),
        }

    before = figures(*clean)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            name: replace(figure.estimate(groups, drawn), n=count).to_dict()
            | {"change": replace(figure.minus(before[name][0], groups, drawn), n=count).to_dict()}
            for name, (figure, count) in figures(*shifted).items()
        }


def shift_report(
    clean: Answers,
    cameras: Sequence[tuple[str, str, Answers]],
    grades: NDArray[np.int64],
    groups: Sequence[str],
    drawn: "Resampling",
) -> dict[str, Any]:
    """The report of a suite: clean figures, each shift by camera and reader, and the worst.

    Args:
        clean: Answers for the N photographs as they are.
        cameras: Family, level of `LEVELS`, and the answers under it.
        grades: By the readers, shape (N,).
        groups: The patient, or whatever stays together, of each; N names.
        drawn: Replicates, seed and confidence.

    Raises:
        DataError: There are no referable photographs, or only such, among those with an answer.
    """
    _require_both_classes(grades[clean.answered])
    unshifted = compare((clean, grades), (clean, grades), groups, drawn)
    for among in (ALL, GRADABLE):
        for figure in unshifted[among].values():
            del figure["change"]
    shifts = [
        _named(CAMERA, family, level)
        | {"amount": amount(family, LEVELS[level]) if family in CAMERA_MODELS else ""}
        | compare((clean, grades), (answers, grades), groups, drawn)
        for family, level, answers in cameras
    ]
    for border, up, level in product(GRADES[1:], (True, False), LEVELS):
        shift = ReaderShift(border, up, LEVELS[level])
        regraded = shift.regrade(grades, seed=drawn["seed"])
        figures = compare((clean, grades), (clean, regraded), groups, drawn)
        shifts.append(_named(READER, shift.name, level) | {"regraded": int((regraded != grades).sum())} | figures)
    return {
        "n": len(grades),
        "groups": len(set(groups)),
        "by_grade": {str(grade): int((grades == grade).sum()) for grade in GRADES},
        "resampling": dict(drawn),
        "clean": unshifted,
        "shifts": shifts,
        "worst": {
            kind: {
                among: _worst([shift for shift in shifts if shift["kind"] == kind], among) for among in (ALL, GRADABLE)
            }
            for kind in (CAMERA, READER)
        },
        "scores": {name: _largest_shortfall(AUC + name, shifts) for name in SCORES},
    }


def _named(kind: str, family: str, level: str) -> dict[str, Any]:
    return {"kind": kind, "family": family, "level": level, "strength": LEVELS[level]}


def _worst(shifts: Sequence[Mapping[str, Any]], among: str) -> dict[str, Any]:
    """The greatest loss of kappa and of each area over all shifts, and of kappa in each family."""

    def worst(figure: str, candidates: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        defined = [shift for shift in candidates if shift[among][figure]["change"]["value"] is not None]
        if not defined:
            return None
        lowest = min(defined, key=lambda shift: shift[among][figure]["change"]["value"])
        return {"family": lowest["family"], "level": lowest["level"], **lowest[among][figure]}

    families = dict.fromkeys(shift["family"] for shift in shifts)
    by_family = {family: worst("qwk", [shift for shift in shifts if shift["family"] == family]) for family in families}
    return {name: worst(name, shifts) for name in ("qwk", *(AUC + score for score in SCORES))} | {
        "qwk_by_family": by_family
    }


def _largest_shortfall(auc: str, shifts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far a score's area falls below that of the best score under the same shift, and under which, at most."""
    shortfalls = [
        {key: shift[key] for key in ("kind", "family", "level")}
        | {"shortfall": max(shift[ALL][AUC + name]["value"] for name in SCORES) - shift[ALL][auc]["value"]}
        for shift in shifts
        if shift[ALL][auc]["value"] is not None
    ]
    return max(shortfalls, key=lambda one: one["shortfall"])


def _require_both_classes(grades: NDArray[np.int64]) -> None:
    referable = int((grades >= REFERABLE_FROM).sum())
    if not 0 < referable < len(grades):
        raise DataError(
            f"{referable} of {len(grades)} photographs that can be graded are referable, which is grade "
            f"{REFERABLE_FROM:d} or above: the area under the ROC curve is undefined",
            where="the labels",
            todo="label photographs below and above that border",
        )
