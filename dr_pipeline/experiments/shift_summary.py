"""How an arm of an experiment bears other cameras and other readers: from its out-of-fold predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.evaluation.image_metrics import Resampling
from dr_pipeline.evaluation.reader_shift import ReaderShift
from dr_pipeline.evaluation.shift_figures import SCORES
from dr_pipeline.experiments.out_of_fold import OutOfFold
from dr_pipeline.metrics.bootstrap import mean_qwk_difference, paired_qwk_difference
from dr_pipeline.metrics.curves import roc_auc
from dr_pipeline.schema import REFERABLE_FROM

# The border of referable disease, moved either way: which of its photographs another centre calls otherwise.
_READERS = (ReaderShift(REFERABLE_FROM, up=True, strength=1.0), ReaderShift(REFERABLE_FROM, up=False, strength=1.0))


def shift_summary(pooled: OutOfFold, first: OutOfFold, drawn: Resampling) -> dict[str, Any]:
    """QWK through each camera, its change from the photographs as they are, and the mean against the first arm.

    Args:
        pooled: The arm's predictions, `shifted` included.
        first: Those of the arm that it is compared with; it may be the same.
        drawn: Replicates, seed and confidence of the bootstrap.

    Returns:
        `cameras`: per camera the change of QWK; `worst_camera`: the one with the greatest loss; `mean_minus_first`: the
        mean over all cameras of the arm's QWK minus the first arm's; `readers`: per border that is moved, the area
        under the ROC curve of each score of referable disease; `scores`: how far each falls below the best, at most.
    """
    true, groups = pooled.grades, pooled.groups
    clean = pooled.decided.grade
    cameras = {
        camera: paired_qwk_difference(true, decided.grade, clean, groups, **drawn).to_dict()
        for camera, decided in pooled.shifted.items()
    }
    mean = mean_qwk_difference(true, _grades(pooled.shifted), _grades(first.shifted), groups, **drawn)
    readers = {"as_graded": _areas(pooled.decided, true)} | {
        reader.name: _areas(pooled.decided, reader.regrade(true, seed=drawn["seed"])) for reader in _READERS
    }
    return {
        "cameras": cameras,
        "worst_camera": min(cameras, key=lambda camera: _value(cameras[camera])),
        "mean_minus_first": mean.to_dict(),
        "readers": readers,
        "scores": {name: max(max(areas.values()) - areas[name] for areas in readers.values()) for name in SCORES},
    }


def _grades(shifted: Mapping[str, Decided]) -> Sequence[NDArray[np.int64]]:
    return [decided.grade for decided in shifted.values()]


def _areas(decided: Decided, true: NDArray[np.int64]) -> dict[str, float]:
    positive = true >= REFERABLE_FROM
    return {name: roc_auc(score(decided.probabilities), positive) for name, score in SCORES.items()}


def _value(figure: Mapping[str, Any]) -> float:
    return np.inf if figure["value"] is None else float(figure["value"])
