"""The bins of a reliability diagram of one finding, such as referable disease."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.intervals import wilson

CONFIDENCE = 0.95
NUM_BINS = 10


@dataclass(frozen=True)
class RateBin:
    """Photographs of similar probability: the mean prediction, and how many have the finding."""

    predicted: float
    hits: int
    n: int

    def as_figure(self) -> dict[str, float]:
        """value, low, high (Wilson) and n of the observed proportion."""
        low, high = wilson(self.hits, self.n, CONFIDENCE)
        return {"value": self.hits / self.n, "low": low, "high": high, "n": self.n}


def reliability_bins(labels: NDArray[np.bool_], probabilities: NDArray[np.float64], num_bins: int) -> list[RateBin]:
    """Splits photographs by probability into bins of equal number, so that no bin has only a few.

    Args:
        labels: Whether the finding is there, shape (N,), N ≥ 1.
        probabilities: Of the finding by the model, shape (N,).
        num_bins: At most this many.
    """
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, min(num_bins, len(order)))
    return [RateBin(float(probabilities[part].mean()), int(labels[part].sum()), len(part)) for part in parts]
