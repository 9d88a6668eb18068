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


class Split(StrEnum):
    """What a photograph is for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


BUNDLE_VERSION = 2  # 2: with weights.safetensors
