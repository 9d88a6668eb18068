"""Grades the validation split with an exported candidate, and fits the decision on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.evaluation.calibration_comparison import compare_calibrations
from dr_pipeline.evaluation.decision_fit import cross_fitted, fit_decision
from dr_pipeline.evaluation.evaluation_checks import require_same_data
from dr_pipeline.evaluation.eye_level import eye_figures
from dr_pipeline.evaluation.fellow_eye import pair_eyes, validation_fusion
from dr_pipeline.evaluation.gradability import read_statuses
from dr_pipeline.evaluation.graded_images import graded_rows
from dr_pipeline.evaluation.image_metrics import all_and_gradable
from dr_pipeline.evaluation.inference import canvas_logits
from dr_pipeline.evaluation.site_figures import figures_by_site, thresholds_by_site
from dr_pipeline.files import read_json, sha256_file
from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
from dr_pipeline.schema import RESEARCH_USE, Split
from dr_pipeline.tables.graded import GradedRow
from dr_pipeline.tables.out_of_fold import aligned_logits, read_out_of_fold_logits
from dr_pipeline.tables.splits import read_splits, select_split


@dataclass(frozen=True)
class ValidationInputs:
    """What a candidate is validated on.

    Attributes:
        candidate: A key of `candidates` in params.yaml.
        fold: The deployed fold.
        export: Folder that `export` wrote.
        canvases: The canvases.
        splits: Table that `split` wrote.
        gradability: Table of the quality statuses.
    """

    candidate: str
    fold: int
    export: Path
    canvases: CanvasStore
    splits: Path
    gradability: Path


@dataclass(frozen=True)
class Validation:
    """The validation of one candidate: the decision that ships, the graded photographs, and the report."""

    decision: Decision
    rows: list[GradedRow]
    report: dict[str, Any]


def validate_candidate(inputs: ValidationInputs, params: Evaluation, targets: OperatingPoint) -> Validation:
    """Fits the decision on the validation split; the figures are cross-fitted.

    Args:
        inputs: The candidate and its photographs.
        params: Confidence, bootstrap replicates and their seed.
        targets: The operating point that the decision is fitted to.

    Raises:
        GateError: The export belongs to another candidate, fold, split or pixel path.
        DataError: A file is missing or damaged.
    """
    export = read_json(inputs.export / "export.json")
    splits_sha256 = sha256_file(inputs.splits)
    _require_same_data(export, inputs, splits_sha256)
    rows = select_split(read_splits(inputs.splits), Split.VALIDATION, inputs.fold)
    image_ids, groups = [row.image_id for row in rows], [row.group for row in rows]
    statuses = read_statuses(inputs.gradability, image_ids)
    grades = np.array([row.grade for row in rows], dtype=np.int64)
    is_fitted = bool(export["ensemble"]["fitted"])
    logits = _logits(inputs, export, image_ids, is_fitted=is_fitted)
    provenance = {"split": Split.VALIDATION.value, "splits_sha256": splits_sha256, "fold": str(inputs.fold)}
    decision = fit_decision(logits, grades, groups, targets, seed=params.bootstrap_seed, provenance=provenance)
    deployed = decision.apply(logits)
    graded = cross_fitted(logits, grades, groups, targets, seed=params.bootstrap_seed)
    sites = [row.site for row in rows]
    target = targets.target_referable_sensitivity
    report = all_and_gradable(graded, grades, groups, statuses, params) | {
        "by_eye": eye_figures(graded, grades, rows, statuses, params),
        "calibration": compare_calibrations(logits, grades, groups, params),
        "by_site": figures_by_site(graded, grades, groups, sites, params),
        "referable_thresholds": {
            "shipped": decision.referable_threshold,
            "by_site": thresholds_by_site(deployed.referable_probability, grades, sites, target),
        },
        "research_use": RESEARCH_USE,
        "fitted": f"{'combination, ' if is_fitted else ''}calibration, cut points and operating point of each "
        "photograph come from the other four fifths of the validation split, by patient"
        + ("; each of these was combined without its own fifth" if is_fitted else ""),
        "graded_by": export["ensemble"]["validated_by"],
    }
    if params.two_eye_fusion:
        pairs = [pair_eyes(decided.expected_grade, grades, rows, statuses) for decided in (deployed, graded)]
        report["two_eye_fusion"] = validation_fusion(*pairs, params=params)
    return Validation(decision, graded_rows(rows, statuses, logits, deployed, graded), report)


def _require_same_data(export: Mapping[str, Any], inputs: ValidationInputs, splits_sha256: str) -> None:
    require_same_data(
        found={
            "candidate": export["candidate"],
            "fold": str(export["fold"]),
            "split": export["splits_sha256"],
            "pixel path": export["pixel_path"],
        },
        expected={
            "candidate": inputs.candidate,
            "fold": str(inputs.fold),
            "split": splits_sha256,
            "pixel path": inputs.canvases.pixel_path.to_dict(),
        },
        where=str(inputs.export / "export.json"),
    )


def _logits(
    inputs: ValidationInputs, export: Mapping[str, Any], image_ids: Sequence[str], *, is_fitted: bool
) -> NDArray[np.float32]:
    """Logits (N, 5); of an ensemble with fitted weights those by weights fitted on other photographs."""
    if is_fitted:
        table = inputs.export / "unseen.csv"
        cross_fitted_logits = aligned_logits(read_out_of_fold_logits(table), image_ids, where=str(table))
        return np.array(cross_fitted_logits, dtype=np.float32)
    model = OnnxModel(inputs.export / export["validation_model"], threads=1)
    return canvas_logits(model.logits, inputs.canvases, image_ids, model.input_px)
