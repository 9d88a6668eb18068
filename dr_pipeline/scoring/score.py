"""The result of one file. Imports nothing heavy: the process that writes the table needs no network."""

from dataclasses import dataclass

from dr_pipeline.lesions.findings import Findings
from dr_pipeline.schema import Status
from dr_pipeline.scoring.sources.person import UNKNOWN, Person


@dataclass(frozen=True)
class Grading:
    """The answer of network and decision for one photograph; the fields are those of `Decision.apply`."""

    grade: int
    probabilities: tuple[float, ...]
    expected_grade: float
    referable: bool
    referable_probability: float
    vision_threatening: bool
    needs_human: bool


@dataclass(frozen=True)
class Acquisition:
    """How a photograph was taken, for the comparison of batches; the fields are columns of predictions.csv.

    Attributes:
        width: Of the upright original, px.
        height: Of the upright original, px.
        disc_radius: Of the retinal disc, in px of the upright original.
        camera: Maker and model; "" where the file does not state them.
        brightness: This and the following: see `dr_pipeline.fundus.quality.measures.Appearance`; None if next to
            nothing is visible.
    """

    width: int
    height: int
    disc_radius: float
    camera: str = ""
    brightness: float | None = None
    contrast: float | None = None
    sharpness: float | None = None
    red_over_green: float | None = None
    blue_over_green: float | None = None


@dataclass(frozen=True)
class LesionScore:
    """What was found in one photograph, and the time that it took.

    Attributes:
        findings: What was found.
        seconds: From its bytes to the findings, beside the time of grading.
    """

    findings: Findings
    seconds: float


@dataclass(frozen=True)
class Score:
    """The result of one file.

    Attributes:
        status: Exactly one.
        reason: Why the status is not `scored`, else empty.
        sha256: Hash of the file's bytes.
        pixel_hash: Hash of the decoded pixels; empty where they cannot be decoded.
        quality: Quality score in [0, 1]; None where there is no image.
        grading: For `scored`; for `ungradable` too, so that an evaluation can count all photographs as well as the
            gradable ones, but a clinic's table does not show it. None otherwise.
        person: Whose photograph it is, where that was asked for and is known.
        acquisition: None where there is no image.
        lesions: For `scored`, where they were asked for; None otherwise.
    """

    status: Status
    reason: str
    sha256: str
    pixel_hash: str
    quality: float | None
    grading: Grading | None
    person: Person = UNKNOWN
    acquisition: Acquisition | None = None
    lesions: LesionScore | None = None


def failed(reason: str, sha256: str = "") -> Score:
    """The score of a file that cannot be decoded."""
    return Score(Status.FAILED, reason, sha256, "", None, None)
