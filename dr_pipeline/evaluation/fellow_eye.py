"""The fellow eye's contribution: an eye's expected grade blended with that of the other eye at the same visit.

Retinopathy is a disease of the patient, so that one eye informs about the other; "eye blending" was a step of the sixth
entry to the Kaggle competition of 2015. Reported separately, since the bundle grades each photograph on its own.
Weight and cut points are fitted on validation; the figure without fusion is of the same eyes, with cut points fitted on
them in the same way, so that only the fellow eye differs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.evaluation.eye_level import representative_images
from dr_pipeline.evaluation.image_metrics import resampling
from dr_pipeline.metrics.bootstrap import paired_qwk_difference, qwk_estimate
from dr_pipeline.metrics.cross_fitting import held_out_parts
from dr_pipeline.metrics.cut_points import steady_cut_points
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import Status
from dr_pipeline.tables.splits import SplitRow

_RESAMPLINGS = 200  # as those of the shipped cut points, evaluation/decision_fit.py
_MAX_WEIGHT = 0.5  # the fellow eye never counts for more than the eye itself


@dataclass(frozen=True)
class Pairs:
    """Eyes whose fellow was photographed at the same visit, both gradable; the first axis of every array is N.

    Attributes:
        own: Expected grade of the eye's representative image.
        fellow: Expected grade of the fellow eye.
        true: The worst of the readers' grades of the eye's photographs.
        groups: The unit of resampling, N names.
    """

    own: NDArray[np.float64]
    fellow: NDArray[np.float64]
    true: NDArray[np.int64]
    groups: tuple[str, ...]

    def select(self, chosen: NDArray[np.int64]) -> "Pairs":
        """Some of the eyes, by their indices, shape (M,)."""
        groups = tuple(self.groups[number] for number in chosen.tolist())
        return Pairs(self.own[chosen], self.fellow[chosen], self.true[chosen], groups)


@dataclass(frozen=True)
class Fusion:
    """A fused expected grade is (1 - weight) · own + weight · fellow; the grade is the number of cut points below it.

    Attributes:
        weight: Weight of the fellow eye, 0 … 0.5.
        cut_points: On the fused expected grade.
        cut_points_alone: On the eye's own expected grade, for the figure without fusion.
    """

    weight: float
    cut_points: tuple[float, ...]
    cut_points_alone: tuple[float, ...]

    def grades(self, pairs: Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Grades with and without the fellow eye, each of shape (N,)."""
        fused = _blend(pairs, self.weight)
        return (
            np.searchsorted(np.asarray(self.cut_points), fused, side="right").astype(np.int64),
            np.searchsorted(np.asarray(self.cut_points_alone), pairs.own, side="right").astype(np.int64),
        )


def pair_eyes(
    expected_grade: NDArray[np.float64],
    true: NDArray[np.int64],
    rows: Sequence[SplitRow],
    statuses: Sequence[str],
) -> Pairs:
    """Finds the eyes with a fellow.

    Args:
        expected_grade: By the model, shape (N,).
        true: Grades by the readers, shape (N,).
        rows: The N photographs.
        statuses: Of each.

    Returns:
        Empty where patients or eyes are unknown.
    """
    representatives = representative_images(rows, statuses, expected_grade)
    gradable = {eye for eye, (number, _) in representatives.items() if statuses[number] == Status.SCORED}
    other = {"left": "right", "right": "left"}
    eyes = sorted(eye for eye in gradable if (eye[0], other.get(eye[1], "")) in gradable)
    own = np.array([representatives[eye][0] for eye in eyes], dtype=np.int64)
    fellow = np.array([representatives[examination, other[eye]][0] for examination, eye in eyes], dtype=np.int64)
    worst = np.array([true[representatives[eye][1]].max() for eye in eyes], dtype=np.int64)
    groups = tuple(rows[number].group for number in own.tolist())
    return Pairs(expected_grade[own], expected_grade[fellow], worst, groups)


def fit_fusion(pairs: Pairs, *, seed: int) -> Fusion:
    """Fits the weight, then the cut points.

    The weight is that whose fused expected grade correlates best with the grade: least squares of the grade on both
    eyes has the closed form.

    Args:
        pairs: Not empty.
        seed: Of the resamplings that steady the cut points.
    """
    columns = np.stack([pairs.own, pairs.fellow, np.ones(len(pairs.own))], axis=1)
    own, fellow, _ = np.linalg.lstsq(columns, pairs.true.astype(np.float64), rcond=None)[0]
    weight_of_fellow = fellow / (own + fellow) if own > 0 else _MAX_WEIGHT
    weight = float(np.clip(weight_of_fellow, 0.0, _MAX_WEIGHT)) if fellow > 0 else 0.0

    def cuts(values: NDArray[np.float64]) -> tuple[float, ...]:
        return steady_cut_points(values, pairs.true, pairs.groups, replicates=_RESAMPLINGS, seed=seed)

    return Fusion(weight, cuts(_blend(pairs, weight)), cuts(pairs.own))


def validation_fusion(deployed: Pairs, cross_fitted: Pairs, *, params: Evaluation) -> dict[str, Any]:
    """Fusion on validation: the fusion to test, and figures of eyes that it was not fitted on.

    Args:
        deployed: Eyes by the deployed decision, on logits of no ensemble that was fitted on them; the fusion is fitted
            on all of them.
        cross_fitted: Eyes by decisions fitted on other photographs; the figures are theirs, with weight and cut points
            of each eye from the other four fifths of the groups.
        params: Confidence, bootstrap replicates and their seed.

    Returns:
        The result of `_report`, with `weight`, `cut_points` and `cut_points_alone`.
    """
    if not len(deployed.own) or not len(cross_fitted.own):
        return _nothing()
    fitted = fit_fusion(deployed, seed=params.bootstrap_seed)
    fused, alone = np.zeros_like(cross_fitted.true), np.zeros_like(cross_fitted.true)
    for held_out, rest in held_out_parts(cross_fitted.groups):
        fusion = fit_fusion(cross_fitted.select(rest), seed=params.bootstrap_seed)
        fused[held_out], alone[held_out] = fusion.grades(cross_fitted.select(held_out))
    return _report(cross_fitted, fused, alone, params) | {
        "weight": fitted.weight,
        "cut_points": list(fitted.cut_points),
        "cut_points_alone": list(fitted.cut_points_alone),
    }


def held_out_fusion(pairs: Pairs, validation: Mapping[str, Any], *, params: Evaluation) -> dict[str, Any]:
    """The figures of the fusion that `validation_fusion` fitted, on other eyes.

    Args:
        pairs: The other eyes.
        validation: The result of `validation_fusion`; without a weight, nothing was fitted.
        params: Confidence, bootstrap replicates and their seed.
    """
    if not len(pairs.own) or validation.get("weight") is None:
        return _nothing()
    fusion = Fusion(float(validation["weight"]), tuple(validation["cut_points"]), tuple(validation["cut_points_alone"]))
    return _report(pairs, *fusion.grades(pairs), params) | {"weight": fusion.weight}


def _blend(pairs: Pairs, weight: float) -> NDArray[np.float64]:
    return np.asarray((1 - weight) * pairs.own + weight * pairs.fellow)


def _report(pairs: Pairs, fused: NDArray[np.int64], alone: NDArray[np.int64], params: Evaluation) -> dict[str, Any]:
    drawn = resampling(params)
    return {
        "n": len(pairs.true),
        "qwk": qwk_estimate(pairs.true, fused, pairs.groups, **drawn).to_dict(),
        "qwk_without_fusion": qwk_estimate(pairs.true, alone, pairs.groups, **drawn).to_dict(),
        "qwk_difference": paired_qwk_difference(pairs.true, fused, alone, pairs.groups, **drawn).to_dict(),
    }


def _nothing() -> dict[str, Any]:
    return {"n": 0, "weight": None, "note": "undefined: no eye with a known and gradable fellow, here or in validation"}
