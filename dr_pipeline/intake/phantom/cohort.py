"""The cohort: patients with two correlated eyes, their grades, cameras and ungradable photographs; random streams."""

import math
from dataclasses import dataclass
from enum import IntEnum
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ParamsError
from dr_pipeline.intake.phantom.cameras import SITES
from dr_pipeline.schema import NUM_GRADES, Eye

# Quadratically weighted kappa between a person's two eyes, as measured on the EyePACS training labels.
LEFT_RIGHT_QWK = 0.86
# Fraction of ungradable photographs by grade: it rises with the disease, as in EyeQ (Fu et al., MICCAI 2019).
UNGRADABLE_FRACTIONS = (0.02, 0.03, 0.04, 0.05, 0.06)
EYES = (Eye.LEFT, Eye.RIGHT)

_STANDARD_NORMAL = NormalDist()
_NUM_QUADRATURE_POINTS = 512
_NUM_BISECTIONS = 30


class Stream(IntEnum):
    """What a random stream decides. Streams are independent, so that drawing one thing never shifts another.

    The values seed the streams: changing one changes every phantom.
    """

    COHORT = 0
    ANATOMY = 1
    VESSELS = 2
    BACKGROUND = 3
    LESIONS = 4
    CAPTURE = 5
    FAULTS = 6
    NON_FUNDUS = 7


def generator(seed: int, stream: Stream, patient: int = 0, eye: int = 0) -> np.random.Generator:
    """The generator of one stream of one eye; equal arguments give equal numbers in every process."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, patient, eye)))


@dataclass(frozen=True)
class EyeCase:
    """One eye of the cohort, to be photographed once.

    `severity` is in [grade, grade + 1); the lesions are drawn from it.
    """

    patient_index: int
    eye: Eye
    grade: int
    severity: float
    ungradable: bool
    site: str
    camera: str

    @property
    def patient_id(self) -> str:
        """The patient's id in the labels."""
        return f"p{self.patient_index + 1:04d}"

    @property
    def image_id(self) -> str:
        """The photograph's file name without its suffix."""
        return f"{self.patient_id}_{self.eye}"

    @property
    def eye_index(self) -> int:
        """0 or 1, the eye's key in a random stream."""
        return EYES.index(self.eye)


def draw_cohort(seed: int, patients: int, grade_shares: tuple[float, ...]) -> list[EyeCase]:
    """Draws every patient's two eyes. A patient's draw does not depend on the number of patients.

    Disease is a bivariate normal latent variable, cut at the quantiles that give `grade_shares`. Its correlation makes
    the two eyes' grades agree with a kappa of `LEFT_RIGHT_QWK`. Site and camera are independent of it.

    Raises:
        ParamsError: `grade_shares` is not a distribution over the five grades.
    """
    _check_shares(grade_shares)
    correlation = latent_correlation(grade_shares)
    cases = []
    for patient_index in range(patients):
        rng = generator(seed, Stream.COHORT, patient_index)
        left, independent = rng.standard_normal(2)
        latents = (left, correlation * left + math.sqrt(1 - correlation**2) * independent)
        site = str(rng.choice(list(SITES)))
        camera = str(rng.choice(SITES[site]))
        for eye, latent in zip(EYES, latents, strict=True):
            grade, severity = _grade_and_severity(_STANDARD_NORMAL.cdf(latent), grade_shares)
            ungradable = bool(rng.random() < UNGRADABLE_FRACTIONS[grade])
            cases.append(EyeCase(patient_index, eye, grade, severity, ungradable, site, camera))
    return cases


def latent_correlation(grade_shares: tuple[float, ...]) -> float:
    """The latent correlation at which two eyes' grades agree with `LEFT_RIGHT_QWK`, by bisection."""
    low, high = 0.0, 1.0 - 1e-6
    for _ in range(_NUM_BISECTIONS):
        middle = (low + high) / 2
        if _expected_qwk(middle, grade_shares) < LEFT_RIGHT_QWK:
            low = middle
        else:
            high = middle
    return low


def _check_shares(grade_shares: tuple[float, ...]) -> None:
    if len(grade_shares) != NUM_GRADES or min(grade_shares) < 0 or abs(sum(grade_shares) - 1) > 1e-6:
        raise ParamsError(
            f"grade_shares {list(grade_shares)} are not {NUM_GRADES} fractions that sum to 1",
            where="params.yaml, phantom",
            todo="give the fraction of each grade 0 … 4",
        )


def _grade_and_severity(quantile: float, grade_shares: tuple[float, ...]) -> tuple[int, float]:
    """The grade whose interval of [0, 1) contains `quantile`, and that grade plus the position in its interval."""
    start = 0.0
    last = max(grade for grade, fraction in enumerate(grade_shares) if fraction > 0)
    for grade, fraction in enumerate(grade_shares):
        if quantile < start + fraction or grade == last:
            return grade, grade + min((quantile - start) / fraction, 1 - 1e-9)
        start += fraction
    raise AssertionError("unreachable: the last grade that occurs takes the rest")


def _expected_qwk(correlation: float, grade_shares: tuple[float, ...]) -> float:
    """Quadratically weighted kappa of the two eyes' grades, integrated over the first eye's latent."""
    ordinates = (np.arange(_NUM_QUADRATURE_POINTS) + 0.5) / _NUM_QUADRATURE_POINTS
    cumulative = np.minimum(np.cumsum(grade_shares)[:-1], 1.0)
    first = np.array([_STANDARD_NORMAL.inv_cdf(q) for q in ordinates])
    cuts = np.array(
        [_STANDARD_NORMAL.inv_cdf(c) if 0 < c < 1 else math.copysign(math.inf, c - 0.5) for c in cumulative]
    )
    spread = math.sqrt(1 - correlation**2)
    below = _normal_cdf((cuts[None, :] - correlation * first[:, None]) / spread)
    grade_given_first = np.diff(below, axis=1, prepend=0.0, append=1.0)
    first_grade = np.searchsorted(cumulative, ordinates, side="right")
    grades = np.arange(NUM_GRADES)
    observed = (grade_given_first * (grades - first_grade[:, None]) ** 2).sum(axis=1).mean()
    by_chance = sum(p * q * (i - j) ** 2 for i, p in enumerate(grade_shares) for j, q in enumerate(grade_shares))
    return float(1 - observed / by_chance) if by_chance > 0 else 1.0


def _normal_cdf(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in values.ravel()]).reshape(values.shape)
