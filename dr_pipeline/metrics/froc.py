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
    clusters = Clusters(groups)
    value, drawn = _resampled(marks, clusters, replicates, seed)
    return _estimates(value, drawn, clusters.count, confidence, len(marks)) | {
        "photographs": len(marks),
        "lesions": sum(photograph.num_lesions for photograph in marks),
        "marks": sum(len(photograph.score) for photograph in marks),
    }


def froc_difference(
    marks: Sequence[Marks],
    others: Sequence[Marks],
    groups: Sequence[str],
    *,
    replicates: int,
    seed: int,
    confidence: float,
) -> dict[str, Any]:
    """How much more `marks` find than `others`, of the same photographs, in the same resamplings.

    Args:
        marks: Of P photographs.
        others: Of the same ones, in their order.
        groups: As for `froc_figures`, like the rest.
        replicates: Likewise.
        seed: Likewise.
        confidence: Likewise.

    Returns:
        `score` and `sensitivity` as `froc_figures` has them.

    Raises:
        ValueError: There is no photograph, or the photographs have other numbers of lesions.
    """
    if [one.num_lesions for one in marks] != [other.num_lesions for other in others]:
        raise ValueError("the marks are not of the same photographs: numbers of lesions differ")
    clusters = Clusters(groups)
    value, drawn = _resampled(marks, clusters, replicates, seed)
    other, drawn_others = _resampled(others, clusters, replicates, seed)
    return _estimates(value - other, drawn - drawn_others, clusters.count, confidence, len(marks))


def _resampled(
    marks: Sequence[Marks], clusters: Clusters, replicates: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sensitivities at the rates of `FALSE_MARKS`, (7,), and in each resampling, (replicates, 7)."""
    if not marks:
        raise ValueError("there is no photograph")
    events, lesions = _events(marks), np.array([photograph.num_lesions for photograph in marks], np.float64)
    drawn = [_sensitivities(events, lesions, weights) for weights in clusters.record_weights(replicates, seed)]
    return _sensitivities(events, lesions, np.ones(len(marks))), np.array(drawn)


def _estimates(
    value: NDArray[np.float64], drawn: NDArray[np.float64], groups: int, confidence: float, photographs: int
) -> dict[str, Any]:
    """`score` and `sensitivity` with their intervals."""
    intervals = [percentile_interval(column, confidence, groups) for column in (*drawn.T, drawn.mean(axis=1))]
    estimates = [
        Estimate(float(figure), low, high, photographs).to_dict()
        for figure, (low, high) in zip((*value, value.mean()), intervals, strict=True)
    ]
    return {
        "score": estimates[-1],
        "sensitivity": [
            {"false_marks": rate} | estimate for rate, estimate in zip(FALSE_MARKS, estimates[:-1], strict=True)
        ],
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
