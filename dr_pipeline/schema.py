"""The shared vocabulary: grades, eyes, statuses and splits; the tables on disk are in tables/."""

from enum import IntEnum, StrEnum

RESEARCH_USE = "Research use only. Not a medical device."


class Grade(IntEnum):
    """International Clinical Diabetic Retinopathy severity scale (Wilkinson et al., Ophthalmology 2003;110:1677)."""

    NO_DR = 0
    MILD = 1
    MODERATE = 2
    SEVERE = 3
    PROLIFERATIVE = 4


GRADES: tuple[int, ...] = tuple(int(g) for g in Grade)
NUM_GRADES = len(GRADES)
GRADE_NAMES = ("No DR", "Mild NPDR", "Moderate NPDR", "Severe NPDR", "Proliferative DR")
REFERABLE_FROM = Grade.MODERATE
VISION_THREATENING_FROM = Grade.SEVERE


class Eye(StrEnum):
    """Laterality; empty where it is unknown."""

    LEFT = "left"
    RIGHT = "right"
    UNKNOWN = ""


class Status(StrEnum):
    """What became of one input file. Every file has exactly one."""

    SCORED = "scored"
    UNGRADABLE = "ungradable"
    NOT_FUNDUS = "not_fundus"
    FAILED = "failed"


class IdDoubt(StrEnum):
    """Why a patient id is doubted; the value stands in reports."""

    PLACEHOLDER = "placeholder"
    LOST_DIGITS = "lost_digits"
    MAYBE_PLACEHOLDER = "maybe_placeholder"
    SHARE = "share"  # one id has too many photographs
    SPELLING = "spelling"  # several ids that differ in spelling only

    @property
    def is_no_person(self) -> bool:
        """Whether the id certainly names no person, so that treating it as unknown divides nobody's photographs."""
        return self in (IdDoubt.PLACEHOLDER, IdDoubt.LOST_DIGITS)


class Split(StrEnum):
    """What a photograph is for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Role(StrEnum):
    """What one of several sources is for; `all`: the split decides, photograph by photograph."""

    ALL = "all"
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    UNLABELLED = "unlabelled"


# 2: with weights.safetensors; 3: may have reference.json; 4: with configs/metadata.json, may have sbom.cdx.json and
# explain.onnx
BUNDLE_VERSION = 4
READABLE_BUNDLE_VERSIONS = (2, 3, 4)
