"""The figures beside those of the headline: agreement, detection, screening, uncertainty; and what limits them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.evaluation.agreement_figures import agreement_figures
from dr_pipeline.evaluation.detection_figures import detection_figures
from dr_pipeline.evaluation.screening_figures import screening_figures
from dr_pipeline.evaluation.uncertainty_figures import uncertainty_figures
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import GRADE_NAMES, GRADES

_FEW = 10  # photographs of a grade


def extended_figures(
    decided: Decided,
    true: NDArray[np.int64],
    groups: Sequence[str],
    statuses: Sequence[str],
    params: Evaluation,
    *,
    measures: Mapping[str, NDArray[np.float64]],
) -> dict[str, Any]:
    """`agreement`, `detection`, `screening` and `uncertainty` of N photographs; docs/reference/metrics.md.

    Args:
        decided: Their decisions.
        true: Their grades, shape (N,).
        groups: The patient, or whatever stays together, of each; N names.
        statuses: Their quality statuses.
        params: Confidence, bootstrap replicates and their seed, prevalences.
        measures: Uncertainties by name, each of shape (N,).
    """
    return {
        "agreement": agreement_figures(decided.grade, true, groups, params),
        "detection": detection_figures(decided, true, groups, params),
        "screening": screening_figures(decided, true, groups, statuses, params),
        "uncertainty": uncertainty_figures(decided, measures, true, groups, params),
    }


def limits(true: NDArray[np.int64], patients: Sequence[str]) -> list[str]:
    """What limits the figures, as sentences; empty where nothing does.

    Args:
        true: Grades by the readers, shape (N,).
        patients: N ids; empty: unknown.
    """
    counts = Counter(true.tolist())
    texts = []
    if unknown := sum(not patient for patient in patients):
        texts.append(
            f"the patient of {unknown} of {len(patients)} photographs is unknown: each counts as one patient, so that "
            "intervals may be too narrow, and photographs of one person may have been in development"
        )
    if len(counts) == 1:
        texts.append(f"all photographs have grade {next(iter(counts))}: agreement beyond chance is undefined")
    texts += [
        f"no photograph has grade {grade} ({GRADE_NAMES[grade]}): nothing is known about it"
        if not counts[grade]
        else f"only {counts[grade]} photographs have grade {grade} ({GRADE_NAMES[grade]})"
        for grade in GRADES
        if counts[grade] < _FEW
    ]
    return texts
