"""Figures that are resampled by patient, alone or minus those of another grader on the same photographs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.bootstrap import bootstrap_sums, bootstrap_weights, one_hot_cells
from dr_pipeline.metrics.calibration import brier_scores, calibration_error, calibration_terms
from dr_pipeline.metrics.curves import weighted_roc_auc
from dr_pipeline.metrics.intervals import Estimate
from dr_pipeline.metrics.kappa import kappa_of_confusions
from dr_pipeline.schema import NUM_GRADES

if TYPE_CHECKING:  # it imports pydantic, which a clinic need not have
    from dr_pipeline.evaluation.image_metrics import Resampling


@dataclass(frozen=True, eq=False)
class OfSums:
    """A figure that depends on the photographs through sums of `terms`, shape (N, K), only.

    Attributes:
        terms: What is summed.
        statistic: Gives the figures, shape (R,), of R rows of sums, shape (R, K).
        recentre: See `bootstrap_sums`.
    """

    terms: NDArray[np.float64]
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    recentre: bool = False

    def estimate(self, groups: Sequence[str], drawn: "Resampling") -> Estimate:
        """The figure; an error, which is what is recentred, is not below 0."""
        figure = bootstrap_sums(self.statistic, self.terms, groups, recentre=self.recentre, **drawn)
        return replace(figure, low=float(np.maximum(0.0, figure.low))) if self.recentre else figure

    def minus(self, other: "OfSums", groups: Sequence[str], drawn: "Resampling") -> Estimate:
        """The figure less that of another grader, in the same resamplings."""
        half = self.terms.shape[1]

        def difference(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            return self.statistic(sums[:, :half]) - other.statistic(sums[:, half:])

        both = np.concatenate([self.terms, other.terms], axis=1)
        return bootstrap_sums(difference, both, groups, recentre=self.recentre, **drawn)


@dataclass(frozen=True, eq=False)
class Auc:
    """Area under the ROC curve of scores, shape (N,), for `positive`, shape (N,)."""

    scores: NDArray[np.float64]
    positive: NDArray[np.bool_]

    def estimate(self, groups: Sequence[str], drawn: "Resampling") -> Estimate:
        """The area."""
        return bootstrap_weights(self._of, groups, **drawn)

    def minus(self, other: "Auc", groups: Sequence[str], drawn: "Resampling") -> Estimate:
        """The area less that of another score, in the same resamplings."""
        return bootstrap_weights(lambda weights: self._of(weights) - other._of(weights), groups, **drawn)

    def _of(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return weighted_roc_auc(self.scores, self.positive, weights)


def qwk_figure(true: NDArray[np.int64], predicted: NDArray[np.int64]) -> OfSums:
    """Quadratic weighted kappa."""
    return OfSums(
        one_hot_cells(true, predicted), lambda sums: kappa_of_confusions(sums.reshape(-1, NUM_GRADES, NUM_GRADES))
    )


def brier_figure(probabilities: NDArray[np.float64], true: NDArray[np.int64]) -> OfSums:
    """Brier score, 0 … 2."""
    terms = np.stack([brier_scores(probabilities, true), np.ones(len(true))], axis=1)
    return OfSums(terms, lambda sums: sums[:, 0] / sums[:, 1])


def ece_figure(probabilities: NDArray[np.float64], true: NDArray[np.int64]) -> OfSums:
    """Expected calibration error."""
    return OfSums(calibration_terms(probabilities, true), calibration_error, recentre=True)


def proportion_figure(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> OfSums:
    """The proportion of hits among some of the photographs, both of shape (N,)."""
    terms = np.stack([hits & among, among], axis=1).astype(np.float64)
    return OfSums(terms, lambda sums: sums[:, 0] / sums[:, 1])
