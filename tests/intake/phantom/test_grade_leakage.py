"""Only lesions reveal the phantom's grade: a probe that detects a leak detects none.

This is the probe of benchmarks/phantom.py at reduced size: fewer patients, smaller photographs.
"""

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dr_pipeline.intake.phantom.cohort import EyeCase, draw_cohort
from dr_pipeline.intake.phantom.photograph import render

pytestmark = pytest.mark.slow

PATIENTS = 180
SPLITS = 4
PROBE_SIDE = 16


def features(image: np.ndarray) -> np.ndarray:
    """A 16×16 colour thumbnail and the file's geometry."""
    height, width = image.shape[:2]
    thumbnail = cv2.resize(image, (PROBE_SIDE, PROBE_SIDE), interpolation=cv2.INTER_AREA)
    return np.concatenate([thumbnail.ravel() / 255, [width, height, width / height]])


def probe(vectors: np.ndarray, cases: list[EyeCase]) -> float:
    """Mean test QWK of a logistic regression over several splits by patient."""
    grades = np.array([c.grade for c in cases])
    patients = np.array([c.patient_index for c in cases])
    kappas = []
    for split in range(SPLITS):
        test_patients = np.random.default_rng(split).permutation(PATIENTS)[: PATIENTS // 3]
        test = np.isin(patients, test_patients)
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, tol=1e-3, C=0.3))
        with threadpool_limits(1):  # more threads only slow down so small a problem
            model.fit(vectors[~test], grades[~test])
        kappas.append(cohen_kappa_score(grades[test], model.predict(vectors[test]), weights="quadratic"))
    return float(np.mean(kappas))


@pytest.fixture(scope="module")
def cases() -> list[EyeCase]:
    return draw_cohort(20, PATIENTS, (0.36, 0.14, 0.22, 0.14, 0.14))


@pytest.fixture(scope="module")
def vectors(cases: list[EyeCase]) -> np.ndarray:
    return np.array([features(render(20, case, 0.08, without_lesions=False).rgb) for case in cases])


def test_thumbnails_and_geometry_do_not_reveal_the_grade(vectors: np.ndarray, cases: list[EyeCase]) -> None:
    assert probe(vectors, cases) <= 0.3


def test_the_probe_detects_a_leak(vectors: np.ndarray, cases: list[EyeCase]) -> None:
    leaking = vectors.copy()
    leaking[:, -3] += 60.0 * np.array([c.grade for c in cases])  # files that get wider with the disease
    assert probe(leaking, cases) > 0.6
