"""From logits to decisions: calibration, cut points, operating point; fitted on validation, shipped with the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import BundleError
from dr_pipeline.schema import NUM_GRADES, REFERABLE_FROM, VISION_THREATENING_FROM

_GRADES = np.arange(NUM_GRADES, dtype=np.float64)
_KEYS = ("temperature", "cut_points", "referable_threshold", "review_margin", "fitted_on")

_OPTIONAL = ("referable_curve", "severity_temperature")


@dataclass(frozen=True)
class Decided:
    """The decisions for N photographs; the first axis of every array is N."""

    probabilities: NDArray[np.float64]  # (N, 5), calibrated
    expected_grade: NDArray[np.float64]  # (N,), 0 … 4: mean grade, under `probabilities` or at a temperature of its own
    grade: NDArray[np.int64]  # (N,)
    referable_probability: NDArray[np.float64]  # (N,), of grade 2 or more, from the expected grade
    referable: NDArray[np.bool_]  # (N,)
    vision_threatening: NDArray[np.bool_]  # (N,), grade 3 or more
    needs_human: NDArray[np.bool_]  # (N,), too close to a cut point


@dataclass(frozen=True)
class Decision:
    """How logits become decisions; part of the deployable bundle.

    Attributes:
        temperature: Logits are divided by it before the softmax (Guo et al., ICML 2017).
        cut_points: On the expected grade, ascending; the grade is the number of cut points at or below it.
        referable_threshold: Smallest probability of grade 2 or above that is referable.
        review_margin: An expected grade closer than this to a cut point needs a human reader.
        fitted_on: What this was fitted on: split, splits_sha256, fold.
        referable_curve: Slope, above 0, and intercept: the probability of grade 2 or above is the logistic function of
            slope · expected grade + intercept. Another reading centre draws the border between 1 and 2 elsewhere, and
            the order of severity survives that better than the sum of the probabilities of 2, 3 and 4. None, in bundles
            of earlier versions: that sum.
        severity_temperature: The temperature of the expected grade; None: `temperature`. A recalibrated bundle keeps
            its parent's, and with it the order of severity, while its probabilities are calibrated for its site.
    """

    temperature: float
    cut_points: tuple[float, float, float, float]
    referable_threshold: float
    review_margin: float
    fitted_on: dict[str, str]
    referable_curve: tuple[float, float] | None = None
    severity_temperature: float | None = None

    def __post_init__(self) -> None:
        temperatures = (self.temperature, self.order_temperature)
        curve = self.referable_curve or (1.0, 0.0)
        numbers = (*temperatures, *self.cut_points, self.referable_threshold, self.review_margin, *curve)
        if len(self.cut_points) != NUM_GRADES - 1 or list(self.cut_points) != sorted(self.cut_points):
            raise _unusable(f"cut_points must be {NUM_GRADES - 1} ascending numbers, found {self.cut_points}")
        if not all(np.isfinite(numbers)) or min(temperatures) <= 0 or self.review_margin < 0:
            raise _unusable("temperature must be above 0, review_margin at least 0, and every number finite")
        if curve[0] <= 0:
            raise _unusable(f"the slope of referable_curve must be above 0, found {curve[0]}")
        if not 0 <= self.referable_threshold <= 1:
            raise _unusable(f"referable_threshold must lie in 0 … 1, found {self.referable_threshold}")

    @property
    def order_temperature(self) -> float:
        """The temperature of the expected grade."""
        return self.temperature if self.severity_temperature is None else self.severity_temperature

    def apply(self, logits: NDArray[Any]) -> Decided:
        """Decides N photographs independently: the result of one does not depend on its batch.

        Args:
            logits: The model's output, shape (N, 5).

        Raises:
            ValueError: Another shape, or a logit that is not finite.
        """
        if logits.ndim != 2 or logits.shape[1] != NUM_GRADES:
            raise ValueError(f"logits must have the shape (N, {NUM_GRADES}), not {logits.shape}")
        if not np.isfinite(logits).all():
            raise ValueError("a logit is not finite")
        probabilities = softmax(logits.astype(np.float64) / self.temperature)
        expected = expected_grade(logits, self.order_temperature)
        cuts = np.asarray(self.cut_points, dtype=np.float64)
        grade = np.searchsorted(cuts, expected, side="right").astype(np.int64)
        if self.referable_curve is None:
            # A sum of probabilities may exceed 1 by a rounding error.
            referable_probability = np.minimum(probabilities[:, REFERABLE_FROM:].sum(axis=1), 1.0)
        else:
            referable_probability = logistic(expected, *self.referable_curve)
        return Decided(
            probabilities=probabilities,
            expected_grade=expected,
            grade=grade,
            referable_probability=referable_probability,
            referable=referable_probability >= self.referable_threshold,
            vision_threatening=grade >= VISION_THREATENING_FROM,
            needs_human=distance_to_cut(expected, cuts) < self.review_margin,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "temperature": self.temperature,
            "cut_points": list(self.cut_points),
            "referable_threshold": self.referable_threshold,
            "review_margin": self.review_margin,
            "fitted_on": dict(self.fitted_on),
            **({} if self.referable_curve is None else {"referable_curve": list(self.referable_curve)}),
            **({} if self.severity_temperature is None else {"severity_temperature": self.severity_temperature}),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Decision":
        """Reads what `to_dict` wrote.

        Raises:
            BundleError: A key is missing, unknown or of the wrong kind, or a number out of its range.
        """
        if not isinstance(value, Mapping) or sorted(set(value) - set(_OPTIONAL)) != sorted(_KEYS):
            raise _unusable(f"expected the keys {', '.join(_KEYS)}")
        try:
            return cls(
                temperature=float(value["temperature"]),
                cut_points=tuple(float(cut) for cut in value["cut_points"]),  # type: ignore[arg-type]
                referable_threshold=float(value["referable_threshold"]),
                review_margin=float(value["review_margin"]),
                fitted_on={str(key): str(item) for key, item in value["fitted_on"].items()},
                referable_curve=_pair(value["referable_curve"]) if "referable_curve" in value else None,
                severity_temperature=float(value["severity_temperature"]) if "severity_temperature" in value else None,
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise _unusable(str(error)) from None


def expected_grade(logits: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """The mean grade, shape (N,), of softmax(logits / temperature)."""
    return np.asarray((softmax(logits.astype(np.float64) / temperature) * _GRADES).sum(axis=1))


def logistic(scores: NDArray[np.float64], slope: float, intercept: float) -> NDArray[np.float64]:
    """1 / (1 + exp(-(slope · score + intercept))), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh((slope * scores + intercept) / 2)))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities along the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def distance_to_cut(expected_grade: NDArray[np.float64], cut_points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each expected grade, shape (N,), to the nearest cut point, in grades."""
    return np.asarray(np.abs(expected_grade[:, None] - cut_points[None, :]).min(axis=1))


def _pair(values: Any) -> tuple[float, float]:
    slope, intercept = values
    return float(slope), float(intercept)


def _unusable(what: str) -> BundleError:
    return BundleError(f"the decision is unusable: {what}", todo="rebuild it with `dvc repro`")
