"""Temperature, isotonic and Dirichlet calibration compared on the validation part, each cross-fitted by patient.

Only the validation photographs are used, and none is calibrated by a curve that it helped to fit. Temperature scaling
ships: it is one number, keeps the order of the grades, and is what a bundle's decision holds. The rule states when the
comparison prefers another method.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import softmax
from dr_pipeline.evaluation.image_metrics import calibration_error_figure, resampling
from dr_pipeline.metrics.bootstrap import bootstrap_many_sums
from dr_pipeline.metrics.calibration import brier_scores, fit_temperature
from dr_pipeline.metrics.cross_fitting import held_out_parts
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import NUM_GRADES

SHIPS = "temperature"
RULE = (
    "temperature scaling ships; another method is preferred where its cross-fitted Brier score on validation is lower, "
    "with the whole interval of the paired difference below zero: of several such methods the one with the lowest "
    "score; it is shown, and does not ship by itself"
)
_LEAST_PROBABILITY = 1e-4  # isotonic regression gives zeros, whose logarithm is infinite

Calibrator = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # logits (N, 5) to probabilities (N, 5)


def fit_temperature_scaling(logits: NDArray[np.float64], true: NDArray[np.int64]) -> Calibrator:
    """One number that divides the logits (Guo et al., ICML 2017)."""
    temperature = fit_temperature(logits, true)
    return lambda given: softmax(given / temperature)


def fit_isotonic(logits: NDArray[np.float64], true: NDArray[np.int64]) -> Calibrator:
    """A rising step function for each grade against the rest (Zadrozny and Elkan, KDD 2002), brought to a sum of 1."""
    from sklearn.isotonic import IsotonicRegression

    probabilities = softmax(logits)
    curves = [
        IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(probabilities[:, grade], true == grade)
        for grade in range(NUM_GRADES)
    ]

    def apply(given: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = softmax(given)
        return _normalised(np.stack([curve.predict(columns[:, grade]) for grade, curve in enumerate(curves)], axis=1))

    return apply


def fit_dirichlet(logits: NDArray[np.float64], true: NDArray[np.int64]) -> Calibrator:
    """Multinomial logistic regression on the log probabilities (Kull et al., NeurIPS 2019), with scikit-learn's L2."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    present = np.unique(true)
    if len(present) < 2:
        return softmax
    # Scaled, since the log probabilities of a confident network are so unlike that the solver does not end.
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(_log_softmax(logits), true)

    def apply(given: NDArray[np.float64]) -> NDArray[np.float64]:
        probabilities = np.zeros((len(given), NUM_GRADES))
        probabilities[:, present] = model.predict_proba(_log_softmax(given))
        return probabilities

    return apply


METHODS: dict[str, Callable[[NDArray[np.float64], NDArray[np.int64]], Calibrator]] = {
    "none": lambda *_: softmax,
    SHIPS: fit_temperature_scaling,
    "isotonic": fit_isotonic,
    "dirichlet": fit_dirichlet,
}


def compare_calibrations(
    logits: NDArray[Any], true: NDArray[np.int64], groups: Sequence[str], params: Evaluation
) -> dict[str, Any]:
    """The methods on N validation photographs.

    Args:
        logits: Of the exported network, shape (N, 5).
        true: Their grades, shape (N,).
        groups: The patient, or whatever stays together, of each; N names.
        params: Confidence, bootstrap replicates and their seed.

    Returns:
        Under `methods` for each `brier`, `log_loss` (probabilities of at least 0.0001), `ece` and the paired
        `brier_minus_temperature`; `rule`, `preferred` by it, and `ships`.
    """
    probabilities = {name: _cross_fitted(fit, logits, true, groups) for name, fit in METHODS.items()}
    scores = {name: brier_scores(values, true) for name, values in probabilities.items()}
    table = {
        name: _figures(values, true, scores[name], scores[SHIPS], groups, params)
        for name, values in probabilities.items()
    }
    better = [name for name in METHODS if name != SHIPS and _is_below_zero(table[name]["brier_minus_temperature"])]
    preferred = min(better, key=lambda name: float(table[name]["brier"]["value"]), default=SHIPS)
    return {"methods": table, "rule": RULE, "preferred": preferred, "ships": SHIPS}


def _cross_fitted(
    fit: Callable[[NDArray[np.float64], NDArray[np.int64]], Calibrator],
    logits: NDArray[Any],
    true: NDArray[np.int64],
    groups: Sequence[str],
) -> NDArray[np.float64]:
    given, probabilities = logits.astype(np.float64), np.empty((len(true), NUM_GRADES))
    for held_out, rest in held_out_parts(groups):
        probabilities[held_out] = fit(given[rest], true[rest])(given[held_out])
    return probabilities


def _figures(
    probabilities: NDArray[np.float64],
    true: NDArray[np.int64],
    scores: NDArray[np.float64],
    reference: NDArray[np.float64],
    groups: Sequence[str],
    params: Evaluation,
) -> dict[str, Any]:
    floored = np.maximum(probabilities[np.arange(len(true)), true], _LEAST_PROBABILITY)
    terms = np.stack([scores, -np.log(floored), scores - reference, np.ones(len(true))], axis=1)
    drawn = resampling(params)
    brier, log_loss, difference = bootstrap_many_sums(lambda sums: sums[:, :3] / sums[:, 3:], terms, groups, **drawn)
    return {
        "brier": brier.to_dict(),
        "log_loss": log_loss.to_dict(),
        "ece": calibration_error_figure(probabilities, true, groups, drawn),
        "brier_minus_temperature": difference.to_dict(),
    }


def _is_below_zero(figure: dict[str, Any]) -> bool:
    return figure["high"] is not None and figure["high"] < 0


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    top = logits.max(axis=1, keepdims=True)
    return np.asarray(logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True)))


def _normalised(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows that sum to 1; one without any probability becomes uniform."""
    sums = columns.sum(axis=1, keepdims=True)
    return np.where(sums > 0, columns / np.where(sums > 0, sums, 1.0), 1.0 / columns.shape[1])
