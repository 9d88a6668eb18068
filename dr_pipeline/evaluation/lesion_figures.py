"""Thresholds of each kind of lesion, fitted on photographs that their network did not see, and the figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.lesion_evidence import THRESHOLDS, KindEvidence, LesionEvidence, Places
from dr_pipeline.lesions.kinds import Kind
from dr_pipeline.metrics.bootstrap import bootstrap_sums
from dr_pipeline.metrics.intervals import clustered_proportion
from dr_pipeline.metrics.segmentation import (
    Histogram,
    confusion_at,
    counts_within,
    dice,
    pooled_average_precision,
)
from dr_pipeline.params.evaluation import Evaluation

# Sizes in px of the canvas among which the smallest component that is kept is chosen.
MIN_PIXELS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


@dataclass(frozen=True)
class OperatingPoints:
    """From which probability on a pixel shows a kind, and which components count; by the kind's name.

    Attributes:
        thresholds: The probability from which a pixel belongs to a component.
        min_pixels: The smallest component that counts.
        min_peaks: The probability that the surest pixel of a component must have for it to count.
    """

    thresholds: Mapping[str, float]
    min_pixels: Mapping[str, int]
    min_peaks: Mapping[str, float]

    def count(self, name: str, evidence: KindEvidence) -> int:
        """Components of this kind that the network finds in a photograph."""
        places = evidence.found[THRESHOLDS.index(self.thresholds[name])]
        return int(((places.areas >= self.min_pixels[name]) & (places.peaks >= self.min_peaks[name])).sum())

    def to_dict(self) -> dict[str, Any]:
        """As lesions.onnx and the report state them."""
        return {
            "thresholds": dict(self.thresholds),
            "min_pixels": dict(self.min_pixels),
            "min_peaks": dict(self.min_peaks),
        }


def fit_operating_points(evidence: Iterable[LesionEvidence], kinds: Sequence[Kind]) -> OperatingPoints:
    """Fits them for each kind that a photograph shows.

    The threshold has the best Dice over the pixels of all photographs together. Then the smallest component and the
    least peak are chosen together, by the least mean |√found - √true| over photographs: a false lesion weighs more in a
    photograph that shows none than in one that shows fifty, as it does in a grade. Of equal ones the smallest.
    """
    photographs = list(evidence)
    thresholds, sizes, peaks = {}, {}, {}
    for kind in kinds:
        found = [photograph.kinds[kind.name] for photograph in photographs if kind.name in photograph.kinds]
        pixels = sum((one.pixels for one in found), np.zeros((2, 1), np.int64))
        if not pixels[1].sum():
            continue
        confusions = np.stack([confusion_at(pixels, threshold) for threshold in THRESHOLDS])
        best = int(np.argmax(np.nan_to_num(dice(confusions.astype(np.float64)))))
        true = np.array([len(one.true_areas) for one in found])
        least_peaks = THRESHOLDS[best:]
        counts = np.stack([_counts(one.found[best], least_peaks) for one in found])
        off = np.abs(np.sqrt(counts) - np.sqrt(true)[:, None, None]).mean(axis=0)
        peak, size = np.unravel_index(int(np.argmin(off.round(9))), off.shape)
        thresholds[kind.name], sizes[kind.name] = THRESHOLDS[best], MIN_PIXELS[size]
        peaks[kind.name] = least_peaks[peak]
    return OperatingPoints(thresholds, sizes, peaks)


def _counts(places: Places, least_peaks: Sequence[float]) -> NDArray[np.int64]:
    """Number of components by least peak and smallest size, (peaks, sizes)."""
    sure = places.peaks >= np.array(least_peaks, np.float32)[:, None]
    large = places.areas >= np.array(MIN_PIXELS)[:, None]
    return sure.astype(np.int64) @ large.astype(np.int64).T


def require_every_kind(points: OperatingPoints, kinds: Sequence[Kind]) -> None:
    """Refuses to export a kind without a threshold.

    Raises:
        DataError: Names the kinds that none of the photographs shows.
    """
    if missing := [kind.name for kind in kinds if kind.name not in points.thresholds]:
        raise DataError(
            f"no photograph shows {', '.join(missing)}, so that no threshold can be fitted",
            where="validation photographs of the lesions' folds",
            todo="leave the kind out of lesions.NAME.data.kinds in params.yaml, or add photographs that show it",
        )


def lesion_figures(evidence: Sequence[LesionEvidence], kinds: Sequence[Kind], params: Evaluation) -> dict[str, Any]:
    """The figures of a cross-validation.

    Average precision needs no threshold. For Dice and counts each fold has the operating points that were fitted on the
    other folds, so that no photograph is measured with points that it helped to fit. Where the other folds do not show
    a kind, its photographs of that fold have no Dice and no count; `n` says of how many these are.

    Args:
        evidence: Each photograph once, of the network that did not see it; of two folds or more.
        kinds: Outputs of the network.
        params: Bootstrap and confidence.

    Returns:
        By kind: `aupr`; `largest_photograph`, the share of the kind's pixels in the photograph that has most of them,
        and the area without it (one large hemorrhage may outweigh all others); `dice`, `count_within_1`,
        `false_components` (mean over photographs without the kind), and the numbers of photographs. And
        `false_components_without_lesions`, of all lesions together in photographs in which every kind was annotated and
        none was found, and `lesions_found_without_lesions`, in which fraction of them one or more is counted: the
        second opinion is another than grade 0 there.

    Raises:
        DataError: There is one fold only.
    """
    folds = sorted({photograph.fold for photograph in evidence})
    if len(folds) < 2:
        raise DataError(
            f"found the photographs of {len(folds)} fold, needs two: thresholds are fitted on the others",
            where="validation of the lesions",
            todo="train at least two folds",
        )
    points = {fold: fit_operating_points((other for other in evidence if other.fold != fold), kinds) for fold in folds}
    figures = {kind.name: _kind_figures(kind.name, evidence, points, params) for kind in kinds}
    lesions = [kind.name for kind in kinds if kind.is_lesion]
    healthy = [
        photograph
        for photograph in evidence
        if all(name in photograph.kinds and not len(photograph.kinds[name].true_areas) for name in lesions)
    ]
    groups = [photograph.group for photograph in healthy]
    false = [
        sum(
            points[photograph.fold].count(name, photograph.kinds[name])
            for name in lesions
            if name in points[photograph.fold].thresholds
        )
        for photograph in healthy
    ]
    return {
        "kinds": figures,
        "false_components_without_lesions": _mean(false, groups, params),
        "lesions_found_without_lesions": clustered_proportion(np.array(false) > 0, groups, params.confidence).to_dict(),
        "photographs": len(evidence),
        "folds": len(folds),
    }


def _kind_figures(
    name: str, evidence: Sequence[LesionEvidence], points: Mapping[int, OperatingPoints], params: Evaluation
) -> dict[str, Any]:
    photographs = [photograph for photograph in evidence if name in photograph.kinds]
    pixels = [photograph.kinds[name].pixels for photograph in photographs]
    groups = [photograph.group for photograph in photographs]
    shown = sum(len(photograph.kinds[name].true_areas) > 0 for photograph in photographs)
    settings = _bootstrap(params)
    with_points = [photograph for photograph in photographs if name in points[photograph.fold].thresholds]
    counted = [points[one.fold].count(name, one.kinds[name]) for one in with_points]
    counts, true = (
        np.array(numbers, np.int64) for numbers in (counted, [len(one.kinds[name].true_areas) for one in with_points])
    )
    confusions = [confusion_at(one.kinds[name].pixels, points[one.fold].thresholds[name]) for one in with_points]
    own_groups, absent = np.array([photograph.group for photograph in with_points], np.str_), true == 0
    return {
        "aupr": pooled_average_precision(pixels, groups, **settings).to_dict(),
        "largest_photograph": _largest_photograph(pixels, groups, settings),
        "dice": bootstrap_sums(dice, np.array(confusions).reshape(-1, 3), own_groups.tolist(), **settings).to_dict(),
        "count_within_1": clustered_proportion(
            counts_within(counts, true), own_groups.tolist(), params.confidence
        ).to_dict(),
        "false_components": _mean(counts[absent].tolist(), own_groups[absent].tolist(), params),
        "photographs": len(photographs),
        "photographs_that_show_it": int(shown),
    }


def _largest_photograph(
    pixels: Sequence[Histogram], groups: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What the photograph that shows most of a kind weighs; None where none shows it."""
    shown = np.array([counts[1].sum() for counts in pixels])
    if not shown.sum():
        return None
    largest = int(shown.argmax())
    others = [index for index in range(len(pixels)) if index != largest]
    without = pooled_average_precision([pixels[index] for index in others], [groups[i] for i in others], **settings)
    return {"share": round(float(shown[largest] / shown.sum()), 4), "aupr_without": without.to_dict()}


def _mean(values: Sequence[int], groups: Sequence[str], params: Evaluation) -> dict[str, Any]:
    records = np.array([[value, 1] for value in values], np.float64).reshape(-1, 2)
    return bootstrap_sums(_ratio, records, groups, **_bootstrap(params)).to_dict()


def _ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(sums[:, 0] / sums[:, 1])


def _bootstrap(params: Evaluation) -> dict[str, Any]:
    return {
        "replicates": params.bootstrap_replicates,
        "seed": params.bootstrap_seed,
        "confidence": params.confidence,
    }
