"""How the report writes a figure: always with its interval and its number of photographs."""

from collections.abc import Mapping
from typing import Any

# Names of the figures, in the order of the report.
LABELS = {
    "qwk": "Quadratic weighted kappa",
    "qwk_most_probable": "QWK, most probable grade",
    "accuracy": "Accuracy, five grades",
    "referable_sensitivity": "Sensitivity, referable (grade ≥ 2)",
    "referable_specificity": "Specificity, referable (grade ≥ 2)",
    "referable_auc": "Area under the ROC curve, referable",
    "vision_threatening_sensitivity": "Sensitivity, vision-threatening (grade ≥ 3)",
    "vision_threatening_specificity": "Specificity, vision-threatening (grade ≥ 3)",
    "brier": "Brier score (0 best, 2 worst)",
    "ece": "Expected calibration error",
    "needs_human": "Share sent to a human reader",
}


def format_figure(figure: Mapping[str, Any], digits: int = 3) -> str:
    """Value, interval and n, such as `0.831 [0.780–0.882], n = 120`; an undefined one states why."""
    count = _count(figure)
    if figure["value"] is None:
        return f"{figure['note']} ({count})"
    value = f"{figure['value']:.{digits}f}"
    if figure["low"] is None or figure["high"] is None:
        return f"{value}, {figure['note']} ({count})"
    if figure["low"] == figure["high"]:  # such as perfect agreement: that is no certainty
        return f"{value}, the same in all resamplings, {count}"
    return f"{value} [{figure['low']:.{digits}f}–{figure['high']:.{digits}f}], {count}"


def format_difference(figure: Mapping[str, Any]) -> str:
    """A difference with its sign, such as `-0.010 [-0.031 to +0.011], n = 120`."""
    if figure["value"] is None or figure["low"] is None:
        return format_figure(figure)
    return f"{figure['value']:+.3f} [{figure['low']:+.3f} to {figure['high']:+.3f}], {_count(figure)}"


def _count(figure: Mapping[str, Any]) -> str:
    """Such as `n = 120`, which no narrow cell of a table breaks into two lines."""
    return f"n = {figure['n']}".replace(" ", "\N{NO-BREAK SPACE}")


def is_figure(value: Any) -> bool:
    """Whether `value` is {"value", "low", "high", "n"}."""
    return isinstance(value, Mapping) and {"value", "low", "high", "n"} <= set(value)
