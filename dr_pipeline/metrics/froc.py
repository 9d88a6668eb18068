"""Free-response operating characteristic: the part of all lesions that is found, at some false marks a photograph.

Niemeijer et al., "Retinopathy Online Challenge", IEEE Trans Med Imaging 2010;29:185: the score is the mean sensitivity
at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false marks a photograph.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.bootstrap import Clusters, percentile_interval
from dr_pipeline.metrics.intervals import Estimate

FALSE_MARKS = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
NO_LESION = 0  # in `Marks.lesion`


@dataclass(frozen=True, eq=False)
class Marks:
    """What was marked on one photograph.

    Attributes:
        score: Of each mark, shape (N,); higher is surer.
        lesion: The lesion that each mark lies on, shape (N,), from 1; `NO_LESION` where it lies on none. Several marks
            on one lesion find it once and are not false.
        num_lesions: How many lesions there are.
    """

    score: NDArray[np.float64]
    lesion: NDArray[np.int64]
    num_lesions: int

    def __post_init__(self) -> None:
        if self.score.shape != self.lesion.shape or self.score.ndim != 1 or not np.isfinite(self.score).all():
            raise ValueError(f"scores {self.score.shape} and lesions {self.lesion.shape}, or a score is not finite")
        if len(self.lesion) and not 0 <= self.lesion.min() <= self.lesion.max() <= self.num_lesions:
            raise ValueError(f"a mark lies on a lesion that is not among 1 … {self.num_lesions}")


@dataclass(frozen=True, eq=False)
class _Events:
    """All false marks, and of each lesion found its surest mark, sorted from the surest."""

    score: NDArray[np.float64]
    is_hit: NDArray[np.bool_]
    photograph: NDArray[np.int64]


def froc_curve(marks: Sequence[Marks]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False marks a photograph and sensitivity, at every score as the limit, from the highest, after (0, 0).

    Raises:
        ValueError: There is no photograph.
    """
    if not marks:
        raise ValueError("there is no photograph")
    events, lesions = _events(marks), np.array([photograph.num_lesions for photograph in marks], np.float64)
    false, found = _cumulative(events, np.ones(len(marks)))
    total = lesions.sum()
    sensitivity = found / total if total else np.full_like(found, np.nan)
    return np.append(0.0, false / len(marks)), np.append(0.0, sensitivity)


def froc_figures(
    marks: Sequence[Marks], groups: Sequence[str], *, replicates: int, seed: int, confidence: float
) -> dict[str, Any]:
    """Sensitivity at each rate of `FALSE_MARKS` and their mean, `score`, with intervals by resampled groups.

    Args:
        marks: Of P photographs, of which some may have no lesion.
        groups: The patient of each, or whatever stays together; P names.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.
        confidence: Such as 0.95.

    Returns:
        `score` and `sensitivity`, a list of {false_marks, value, low, high, n}, of which n counts photographs; the
        numbers of photographs, lesions and marks.

    Raises:
        ValueError: There is no photograph.
    """
    if not marks:
        raise ValueError("there is no photograph")
    events, lesions = _events(marks), np.array([photograph.num_lesions for photograph in marks], np.float64)
    value = _sensitivities(events, lesions, np.ones(len(marks)))
    clusters = Clusters(groups)
    drawn = np.array([_sensitivities(events, lesions, w) for w in clusters.record_weights(replicates, seed)])
    intervals = [percentile_interval(column, confidence, clusters.count) for column in (*drawn.T, drawn.mean(axis=1))]
    estimates = [
        Estimate(float(figure), low, high, len(marks)).to_dict()
        for figure, (low, high) in zip((*value, value.mean()), intervals, strict=True)
    ]
    return {
        "score": estimates[-1],
        "sensitivity": [
            {"false_marks": rate} | estimate for rate, estimate in zip(FALSE_MARKS, estimates[:-1], strict=True)
        ],
        "photographs": len(marks),
        "lesions": int(lesions.sum()),
        "marks": sum(len(photograph.score) for photograph in marks),
    }


def _events(marks: Sequence[Marks]) -> _Events:
    scores, hits, photographs = [], [], []
    for number, photograph in enumerate(marks):
        false = photograph.score[photograph.lesion == NO_LESION]
        surest = np.full(photograph.num_lesions + 1, -np.inf)
        np.maximum.at(surest, photograph.lesion, photograph.score)
        found = surest[1:][np.isfinite(surest[1:])]
        scores.append(np.append(false, found))
        hits.append(np.append(np.zeros(len(false), np.bool_), np.ones(len(found), np.bool_)))
        photographs.append(np.full(len(false) + len(found), number, np.int64))
    score, is_hit = np.concatenate(scores), np.concatenate(hits)
    order = np.argsort(-score, kind="stable")
    return _Events(score[order], is_hit[order], np.concatenate(photographs)[order])


def _cumulative(events: _Events, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False marks and found lesions with at least each distinct score, photographs counted as often as they weigh."""
    weight = weights[events.photograph]
    last = np.ones(len(events.score), np.bool_)  # of equal scores: they are one step
    last[:-1] = events.score[1:] != events.score[:-1]
    return np.cumsum(weight * ~events.is_hit)[last], np.cumsum(weight * events.is_hit)[last]


def _sensitivities(events: _Events, lesions: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The most that is found with at most each rate of `FALSE_MARKS`; nan without lesions."""
    total = float(lesions @ weights)
    if total == 0:
        return np.full(len(FALSE_MARKS), np.nan)
    false, found = _cumulative(events, weights)
    steps = np.searchsorted(false, np.array(FALSE_MARKS) * weights.sum(), side="right")
    return np.asarray(np.append(0.0, found)[steps] / total, np.float64)
