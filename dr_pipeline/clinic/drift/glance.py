"""A look at the scores that a run has just written: whether `dr-pipeline drift` would have something to say.

Rougher than the comparison: the population stability index alone, without tests and without the library for them.
"""

from pathlib import Path

import numpy as np

from dr_pipeline.bundle.reference import Reference, count_patients, read_reference
from dr_pipeline.clinic.drift.batch import Batch, read_batch
from dr_pipeline.clinic.drift.compare import Limits, cameras_of, expected_group
from dr_pipeline.clinic.drift.report import LABELS
from dr_pipeline.clinic.drift.statistics import stability
from dr_pipeline.errors import DataError

# With fewer patients a glance sees chance only.
_MIN_PATIENTS = 20


def glance(predictions: Path, bundle: Path) -> str:
    """One sentence where the photographs look unlike those of development; else "".

    Args:
        predictions: The table that `score` wrote.
        bundle: That scored it.

    Raises:
        BundleError: The bundle's reference is damaged.
    """
    reference = read_reference(bundle)
    if reference is None:
        return ""
    try:
        batch = read_batch(predictions)
    except DataError:  # no photograph shows a fundus, which the summary's counts say
        return ""
    return sentence(batch, reference)


def sentence(batch: Batch, reference: Reference) -> str:
    """The measures beyond the limit of drift, and unknown cameras."""
    observed, ratio, limit = batch.observed, reference.photographs_per_patient, Limits().drift
    expected, _ = expected_group(reference, observed)
    found = []
    for measure, distribution in expected.measures.items():
        known = ~np.isnan(observed.values[measure])
        patients = count_patients(observed.patients[known], ratio)
        if patients >= _MIN_PATIENTS:
            index = stability(distribution, observed.values[measure][known], patients)
            if index.is_beyond_noise and index.excess >= limit:
                found.append(f"{LABELS[measure]} (index {index.value:.2f})")
    unknown = cameras_of(observed, reference).unknown
    if unknown:
        found.append(f"{sum(unknown.values())} from cameras that development did not have")
    return f"unlike the photographs of development: {', '.join(found)}; see dr-pipeline drift" if found else ""
