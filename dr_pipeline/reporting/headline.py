"""What the report says first: the headline figures in two columns, and what they cannot show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dr_pipeline.reporting.format_figure import LABELS
from dr_pipeline.reporting.report_inputs import Sources
from dr_pipeline.schema import GRADE_NAMES

HEADLINES = (
    "qwk",
    "referable_sensitivity",
    "referable_specificity",
    "referable_auc",
    "vision_threatening_sensitivity",
)
_MIN_PHOTOGRAPHS = 10  # fewer photographs of a grade cause a warning
# Why an internal figure is not the next site's: this pipeline's own measurement.
PRECEDENT = (
    "On IDRiD, whose patients are unknown, graders of this pipeline reached a cross-validated QWK of 0.852 "
    "(0.817–0.883), and 0.705 (0.603–0.788, n = 102) on the official test part of the same data set."
)


@dataclass(frozen=True)
class Headline:
    """One figure of the test split, of all graded photographs and of the gradable ones.

    Attributes:
        label: Its name.
        every: {"value", "low", "high", "n"}.
        gradable: The same.
    """

    label: str
    every: Mapping[str, Any]
    gradable: Mapping[str, Any]


def headlines(sources: Sources) -> list[Headline]:
    """The headline figures of the test split."""
    test = sources.test
    return [Headline(LABELS[name], test[name], test["gradable"][name]) for name in HEADLINES]


def evidence_limits(sources: Sources) -> list[str]:
    """Why the headline figures may not hold elsewhere; none where patients are known and another data set was graded.

    The report shows them at the figures themselves, metrics.json and the checklists repeat them.
    """
    limits = []
    if sources.is_synthetic:
        limits.append(
            "The photographs are drawn by a program: these figures show that the software works, nothing about eyes."
        )
    if unknown := sources.split["photographs_of_unknown_patients"]:
        limits.append(
            f"Patients unknown: of {unknown} of the {sources.split['photographs']} graded photographs the patient is "
            "not known, so that photographs of one patient may be in training and in test. The figures may be too "
            "good, and their intervals too narrow."
        )
    if not sources.graded_elsewhere:
        limits.append(
            f"Internal test only: these {sources.test['n']} photographs come from the same data set as those of "
            "training. No other data set of photographs was graded: expect lower figures at another clinic, with "
            "another camera or in another population."
        )
    return limits


def warnings(sources: Sources) -> list[str]:
    """Warnings that stand below the headline figures, each once."""
    texts = list(sources.audit["warnings"])
    texts += [
        f"grade {grade} ({GRADE_NAMES[grade]}): only {sum(row)} photographs in the test split"
        for grade, row in enumerate(sources.test["confusion"])
        if sum(row) < _MIN_PHOTOGRAPHS
    ]
    return list(dict.fromkeys(texts))
