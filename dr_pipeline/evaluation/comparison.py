"""Change control: is a new grader not worse than the old one, on the same photographs, by declared margins?

Each endpoint has the difference new minus old with an interval that is paired by photograph and clustered by patient.
It is not inferior where the interval lies wholly above minus the margin, and inferior where it lies wholly below;
between these the photographs do not show it. Every endpoint must pass, so that several of them need no correction
(intersection-union test; Berger, Technometrics 1982;24:295). A photograph without a grade goes to a person, so it
counts as referred: sensitivity, specificity and the share of ungradable photographs are of all photographs; kappa, the
area under the ROC curve and calibration are of those that both graders answered.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.evaluation.paired_figures import Auc, brier_figure, ece_figure, qwk_figure
from dr_pipeline.metrics.intervals import Estimate, clustered_proportion
from dr_pipeline.metrics.paired_proportions import paired_difference
from dr_pipeline.metrics.paired_tests import exact_mcnemar, mcnemar
from dr_pipeline.schema import GRADES, REFERABLE_FROM, VISION_THREATENING_FROM, Status
from dr_pipeline.tables.changed import ChangedRow, Effect

if TYPE_CHECKING:  # it imports pydantic, which a clinic need not have
    from dr_pipeline.evaluation.image_metrics import Resampling


class Verdict(StrEnum):
    """What the photographs show of the new grader, from best to worst."""

    IDENTICAL = "identical"  # every answer is the same, to the last digit
    NOT_INFERIOR = "not inferior"
    NOT_SHOWN = "not shown"  # the interval holds the margin, or there is none: more photographs are needed
    INFERIOR = "inferior"


@dataclass(frozen=True)
class Endpoint:
    """A figure that a new grader must keep.

    Attributes:
        label: For people.
        margin: How much worse it may be, by default; not a clinical standard: a programme declares its own.
        higher_is_better: Otherwise a lower figure is better.
    """

    label: str
    margin: float
    higher_is_better: bool = True


ENDPOINTS: Mapping[str, Endpoint] = {
    "qwk": Endpoint("Quadratic weighted kappa", 0.05),
    "referable_auc": Endpoint("Area under the ROC curve, referable", 0.03),
    "referable_sensitivity": Endpoint("Sensitivity, referable, ungradable referred", 0.05),
    "referable_specificity": Endpoint("Specificity, referable, ungradable referred", 0.05),
    "vision_threatening_sensitivity": Endpoint("Vision-threatening disease referred", 0.05),
    "ungradable": Endpoint("Share without a grade", 0.05, higher_is_better=False),
    "brier": Endpoint("Brier score", 0.05, higher_is_better=False),
    "ece": Endpoint("Expected calibration error", 0.05, higher_is_better=False),
}


def declared_margins(declared: Mapping[str, float | None]) -> dict[str, float | None]:
    """The margin of every endpoint: as declared, else its default; None: shown, and not part of the verdict.

    Raises:
        ParamsError: An endpoint is unknown, a margin is negative or no number, or no endpoint has one.
    """
    if unknown := sorted(set(declared) - set(ENDPOINTS)):
        raise ParamsError(f"no endpoint {', '.join(unknown)}", where="margin", todo=f"use {', '.join(ENDPOINTS)}")
    wrong = [name for name, margin in declared.items() if margin is not None and not 0 <= margin < math.inf]
    if wrong:
        raise ParamsError(f"the margin of {wrong[0]} is no number from 0", where="margin", todo="such as 0.05")
    margins = {name: declared.get(name, endpoint.margin) for name, endpoint in ENDPOINTS.items()}
    if all(margin is None for margin in margins.values()):
        raise ParamsError("no endpoint has a margin", where="margin", todo="declare at least one")
    return margins


def compare_graders(
    old: Answers,
    new: Answers,
    grades: NDArray[np.int64],
    groups: Sequence[str],
    margins: Mapping[str, float | None],
    drawn: "Resampling",
) -> dict[str, Any]:
    """Compares two graders on the same N photographs.

    Args:
        old: Its answers.
        new: Its answers, in the same order.
        grades: By the readers, shape (N,).
        groups: The patient, or whatever stays together, of each; N names.
        margins: The result of `declared_margins`.
        drawn: Replicates, seed and confidence.

    Returns:
        `n`, `groups`, `by_grade`, `unanswered`; under `endpoints`, by name, the old and the new figure, the difference
        new minus old, each {"value", "low", "high", "n"}, the margin and the verdict; McNemar's tests; the numbers of
        changed photographs; the verdict of all endpoints with a margin.

    Raises:
        DataError: There is no photograph, or not both referable and other ones have an answer by both graders.
    """
    both = np.flatnonzero(old.answered & new.answered)
    _require_both_classes(grades[both])
    with np.errstate(invalid="ignore", divide="ignore"):  # a resampling may hold no photograph of a class
        figures = _answered(old, new, grades, groups, both, drawn) | _screened(old, new, grades, groups, drawn)
    identical = old.equals(new)
    endpoints = {
        name: {
            "old": figures[name][0].to_dict(),
            "new": figures[name][1].to_dict(),
            "difference": figures[name][2].to_dict(),
            "higher_is_better": endpoint.higher_is_better,
            "margin": margins[name],
            "verdict": margin_verdict(figures[name][2].to_dict(), endpoint, margins[name], identical=identical),
        }
        for name, endpoint in ENDPOINTS.items()
    }
    return {
        "n": len(grades),
        "groups": len(set(groups)),
        "by_grade": {str(grade): int((grades == grade).sum()) for grade in GRADES},
        "unanswered": {"old": int((~old.answered).sum()), "new": int((~new.answered).sum())},
        "resampling": dict(drawn),
        "endpoints": endpoints,
        "mcnemar": _mcnemar(old, new, grades, groups, drawn["confidence"]),
        "changed": changes(old, new, grades),
        "verdict": overall_verdict(endpoints),
    }


def overall_verdict(endpoints: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """The worst verdict of the endpoints that have a margin."""
    order = list(Verdict)
    return max((Verdict(one["verdict"]) for one in endpoints.values() if one["verdict"]), key=order.index)


def margin_verdict(
    difference: Mapping[str, Any], endpoint: Endpoint, margin: float | None, *, identical: bool
) -> Verdict | None:
    """What the interval of new minus old, {"low", "high"}, shows by a margin; None where there is no margin."""
    if margin is None:
        return None
    if identical:
        return Verdict.IDENTICAL
    low, high = difference["low"], difference["high"]
    if low is None or high is None:
        return Verdict.NOT_SHOWN
    if not endpoint.higher_is_better:
        low, high = -high, -low
    if low >= -margin:
        return Verdict.NOT_INFERIOR
    return Verdict.INFERIOR if high < -margin else Verdict.NOT_SHOWN


def changed_rows(image_ids: Sequence[str], old: Answers, new: Answers, grades: NDArray[np.int64]) -> list[ChangedRow]:
    """The photographs whose status, grade or referral changed: changed referrals first, the worse before the better."""
    changed = np.flatnonzero(_status_changed(old, new) | (old.grade != new.grade) | (old.referable != new.referable))
    rows = [
        ChangedRow(
            image_id=image_ids[row],
            grade=int(grades[row]),
            effect=_effect(old, new, grades, row),
            referral_changed=bool(old.referred[row] != new.referred[row]),
            **_columns("old", old, row),
            **_columns("new", new, row),
        )
        for row in changed.tolist()
    ]
    worst_first = (Effect.WORSE, Effect.NEITHER, Effect.BETTER)
    return sorted(rows, key=lambda row: (not row.referral_changed, worst_first.index(row.effect), row.image_id))


def changes(old: Answers, new: Answers, grades: NDArray[np.int64]) -> dict[str, int]:
    """How many photographs changed: in any way, their grade, their status, their referral, and which referrals."""
    referable, before, after = grades >= REFERABLE_FROM, old.referred, new.referred
    return {
        "any": len(changed_rows([""] * len(grades), old, new, grades)),
        "grade": int((old.grade != new.grade).sum()),
        "status": int(_status_changed(old, new).sum()),
        "referral": int((before != after).sum()),
        "referable_no_longer_referred": int((referable & before & ~after).sum()),
        "referable_now_referred": int((referable & ~before & after).sum()),
        "others_no_longer_referred": int((~referable & before & ~after).sum()),
        "others_now_referred": int((~referable & ~before & after).sum()),
    }


def _answered(
    old: Answers,
    new: Answers,
    grades: NDArray[np.int64],
    groups: Sequence[str],
    both: NDArray[np.int64],
    drawn: "Resampling",
) -> dict[str, tuple[Estimate, Estimate, Estimate]]:
    """Old, new and difference of the figures of photographs that both graders answered."""
    true, units = grades[both], [groups[row] for row in both.tolist()]

    def figures(answers: Answers) -> dict[str, Any]:
        return {
            "qwk": qwk_figure(true, answers.grade),
            "referable_auc": Auc(answers.referable_probability, true >= REFERABLE_FROM),
            "brier": brier_figure(answers.probabilities, true),
            "ece": ece_figure(answers.probabilities, true),
        }

    one, other = figures(old.select(both)), figures(new.select(both))
    return {
        name: (
            one[name].estimate(units, drawn),
            other[name].estimate(units, drawn),
            other[name].minus(one[name], units, drawn),
        )
        for name in one
    }


def _screened(
    old: Answers, new: Answers, grades: NDArray[np.int64], groups: Sequence[str], drawn: "Resampling"
) -> dict[str, tuple[Estimate, Estimate, Estimate]]:
    """Old, new and difference of the proportions of all photographs, by intention to screen."""
    result = {}
    for name, (one, other, among) in _hits(old, new, grades).items():
        rows = np.flatnonzero(among)
        units = [groups[row] for row in rows.tolist()]
        result[name] = (
            clustered_proportion(one[rows], units, drawn["confidence"]),
            clustered_proportion(other[rows], units, drawn["confidence"]),
            paired_difference(one[rows], other[rows], units, drawn["confidence"]),
        )
    return result


def _hits(
    old: Answers, new: Answers, grades: NDArray[np.int64]
) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]]:
    """Hits of the old and of the new grader, and among which photographs, each of shape (N,)."""
    referable = grades >= REFERABLE_FROM
    return {
        "referable_sensitivity": (old.referred, new.referred, referable),
        "referable_specificity": (~old.referred, ~new.referred, ~referable),
        "vision_threatening_sensitivity": (old.referred, new.referred, grades >= VISION_THREATENING_FROM),
        "ungradable": (~old.scored, ~new.scored, np.ones(len(grades), dtype=np.bool_)),
    }


def _mcnemar(
    old: Answers, new: Answers, grades: NDArray[np.int64], groups: Sequence[str], confidence: float
) -> dict[str, dict[str, Any]]:
    """McNemar's test of each kind of hit, by patient, and exactly with photographs as units."""
    everyone = np.ones(len(grades), dtype=np.bool_)
    hits = {"accuracy": (old.grade == grades, new.grade == grades, everyone)} | _hits(old, new, grades)
    tests = {}
    for name, (one, other, among) in hits.items():
        rows = np.flatnonzero(among)
        test = mcnemar(one[rows], other[rows], [groups[row] for row in rows.tolist()], confidence)
        lost, gained = int((one & ~other & among).sum()), int((~one & other & among).sum())
        tests[name] = {
            "lost": lost,
            "gained": gained,
            "p_patients": test.to_dict()["p_value"],
            "p_photographs": exact_mcnemar(lost, gained),
        }
    return tests


def _effect(old: Answers, new: Answers, grades: NDArray[np.int64], row: int) -> Effect:
    """Whether the new answer is nearer to the readers': by the referral where it changed, else by the grade shown."""
    if old.referred[row] != new.referred[row]:
        return Effect.BETTER if new.referred[row] == (grades[row] >= REFERABLE_FROM) else Effect.WORSE
    if not (old.scored[row] and new.scored[row]):
        return Effect.NEITHER
    nearer = abs(old.grade[row] - grades[row]) - abs(new.grade[row] - grades[row])
    return Effect.NEITHER if nearer == 0 else Effect.BETTER if nearer > 0 else Effect.WORSE


def _status_changed(old: Answers, new: Answers) -> NDArray[np.bool_]:
    return np.array([one is not other for one, other in zip(old.status, new.status, strict=True)], dtype=np.bool_)


def _columns(prefix: str, answers: Answers, row: int) -> dict[str, Any]:
    status, answered = answers.status[row], bool(answers.answered[row])
    return {
        f"{prefix}_status": status,
        f"{prefix}_grade": int(answers.grade[row]) if status is Status.SCORED else None,
        f"{prefix}_referred": bool(answers.referred[row]),
        f"{prefix}_referable_probability": float(answers.referable_probability[row]) if answered else None,
    }


def _require_both_classes(grades: NDArray[np.int64]) -> None:
    referable = int((grades >= REFERABLE_FROM).sum())
    if not 0 < referable < len(grades):
        raise DataError(
            f"{referable} of {len(grades)} photographs with an answer by both are referable, which is grade "
            f"{REFERABLE_FROM:d} or above: sensitivity or specificity is undefined",
            where="the photographs",
            todo="give photographs below and above that border",
        )
