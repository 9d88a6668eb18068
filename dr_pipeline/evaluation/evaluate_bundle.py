"""Grades the test split with the bundle as shipped, and records the opening."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.read import Bundle
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.evaluation.baselines import baselines, feature_baselines, majority_grade
from dr_pipeline.evaluation.evaluation_checks import (
    record_opening,
    require_fitted_on_validation,
    require_same_data,
)
from dr_pipeline.evaluation.extended_figures import extended_figures, limits
from dr_pipeline.evaluation.eye_level import eye_figures
from dr_pipeline.evaluation.fellow_eye import held_out_fusion, pair_eyes
from dr_pipeline.evaluation.gradability import read_statuses
from dr_pipeline.evaluation.graded_images import graded_rows
from dr_pipeline.evaluation.image_metrics import all_and_gradable
from dr_pipeline.evaluation.inference import canvas_logits
from dr_pipeline.evaluation.site_figures import figures_by_site
from dr_pipeline.evaluation.uncertainty_figures import uncertainty_measures
from dr_pipeline.files import sha256_file
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import RESEARCH_USE, Split
from dr_pipeline.tables.graded import GradedRow
from dr_pipeline.tables.splits import DEVELOPMENT, read_splits, select_split


@dataclass(frozen=True)
class TestInputs:
    """What a bundle is tested on.

    Attributes:
        canvases: The canvases.
        splits: Table that `split` wrote.
        gradability: Table of the quality statuses.
        openings: Ledger of the openings, appended to.
    """

    __test__ = False  # pytest does not collect it

    canvases: CanvasStore
    splits: Path
    gradability: Path
    openings: Path


def evaluate_bundle(bundle: Bundle, inputs: TestInputs, params: Evaluation) -> tuple[list[GradedRow], dict[str, Any]]:
    """Grades the test split; the opening is recorded before anything is graded.

    Args:
        bundle: The bundle, as read from its folder.
        inputs: The photographs.
        params: Confidence, bootstrap replicates and their seed.

    Returns:
        The graded photographs, and the report.

    Raises:
        GateError: The decision was not fitted on validation of this split, or the pixel path is another.
        DataError: A file is missing or damaged.
    """
    splits_sha256 = sha256_file(inputs.splits)
    _require_consistent(bundle, inputs, splits_sha256)
    all_rows = read_splits(inputs.splits)
    rows = select_split(all_rows, Split.TEST, 0)
    image_ids, groups = [row.image_id for row in rows], [row.group for row in rows]
    statuses = read_statuses(inputs.gradability, image_ids)
    development = [row for row in all_rows if row.split == DEVELOPMENT]
    openings = record_opening(inputs.openings, image_ids, splits_sha256, bundle.bundle_id)
    logits = canvas_logits(bundle.model.logits, inputs.canvases, image_ids, bundle.model.input_px)
    decided = bundle.decision.apply(logits)
    grades = np.array([row.grade for row in rows], dtype=np.int64)
    views = np.stack([decided.expected_grade, _mirrored(bundle, inputs.canvases, image_ids)], axis=1)
    measures = uncertainty_measures(decided, bundle.decision, views)
    report = all_and_gradable(decided, grades, groups, statuses, params) | {
        **extended_figures(decided, grades, groups, statuses, params, measures=measures),
        "limits": limits(grades, [row.patient_id for row in rows]),
        "by_eye": eye_figures(decided, grades, rows, statuses, params),
        "by_site": figures_by_site(decided, grades, groups, [row.site for row in rows], params),
        "baselines": baselines(
            grades,
            groups,
            [row.examination for row in rows],
            majority_grade([row.grade for row in development]),
            params,
            grade=decided.grade,
            eyes=[row.eye for row in rows],
        )
        | feature_baselines(development, rows, inputs.canvases.rows, decided, params),
        "bundle_id": bundle.bundle_id,
        "openings": openings,
        "research_use": RESEARCH_USE,
        "splits_sha256": splits_sha256,
    }
    if params.two_eye_fusion:
        pairs = pair_eyes(decided.expected_grade, grades, rows, statuses)
        fitted = bundle.metadata["validation"].get("two_eye_fusion", {})
        report["two_eye_fusion"] = held_out_fusion(pairs, fitted, params=params)
    return graded_rows(rows, statuses, logits, decided, decided), report


def _mirrored(bundle: Bundle, canvases: CanvasStore, image_ids: Sequence[str]) -> NDArray[np.float64]:
    """The expected grades of the photographs seen in a mirror, shape (N,): a second view, for the uncertainty."""

    def logits(batch: NDArray[np.uint8]) -> NDArray[Any]:
        return bundle.model.logits(np.ascontiguousarray(batch[:, :, ::-1]))

    return bundle.decision.apply(canvas_logits(logits, canvases, image_ids, bundle.model.input_px)).expected_grade


def _require_consistent(bundle: Bundle, inputs: TestInputs, splits_sha256: str) -> None:
    require_fitted_on_validation(bundle.decision, splits_sha256, where=str(bundle.root))
    require_same_data(
        found={
            "pixel path": bundle.pixel_path.to_dict(),
            "split of the quality thresholds": bundle.gradability.fitted_on.get("splits_sha256"),
        },
        expected={
            "pixel path": inputs.canvases.pixel_path.to_dict(),
            "split of the quality thresholds": splits_sha256,
        },
        where=str(bundle.root),
    )
