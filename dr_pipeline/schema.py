"""The shared vocabulary: grades, eyes, statuses, and the columns and versions of every table on disk."""

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


# Every table's first column is its schema_version; readers refuse another version.
MANIFEST_VERSION = 2
MANIFEST_COLUMNS = (
    "schema_version",
    "image_id",
    "path",  # relative to the data set's root, with forward slashes
    "sha256",  # of the file's bytes; empty where it cannot be read
    "pixel_sha256",  # of the decoded pixels; empty until audit
    "perceptual_hash",  # of the canonical disc, 64 hexadecimal digits; empty until audit
    "patient_id",  # empty: declared unknown
    "eye",
    "visit",
    "field",  # which view of the eye, where a set has several
    "grade",
    "referable",  # 0 or 1 where a reference standard says only this and no grade; else empty
    "grader",
    "site",
    "camera",
    "pixel_spacing_mm",  # on the retina, where the file states it
    "official_split",  # train, validation or test as the data set's authors divided it; empty: not divided
    "width",
    "height",
    "source",  # the adapter's name
    "duplicate_cluster",  # empty until audit
    "excluded",  # 0 or 1
    "exclusion_reason",
)

READINGS_VERSION = 1
READINGS_COLUMNS = (
    "schema_version",
    "image_id",  # of a photograph that several graders read; its rows are its readings
    "grader",
    "grade",
)

CANVAS_INDEX_VERSION = 2
CANVAS_INDEX_COLUMNS = (
    "schema_version",
    "image_id",
    "shard",  # tar file that holds <image_id>.png; empty where there is no canvas
    "status",
    "reason",
    "format",  # jpeg, png, tiff, bmp, webp or dicom, by content
    "pixel_sha256",
    "perceptual_hash",
    "width",
    "height",
    "disc_x",  # centre and radius of the retinal disc, in pixels of the upright original
    "disc_y",
    "disc_radius",
    "disc_fit",  # how the disc was found: circle, or the declared fallback
    "annotation",  # 1 where text seems to be burnt in beside the disc, else 0
    "quality",
    "quality_spread",  # how far the score hangs on single quarters of the disc: jackknife standard error
    "quality_reasons",
)

SPLITS_VERSION = 2
SPLITS_COLUMNS = (
    "schema_version",
    "image_id",
    "patient_id",
    "eye",
    "visit",
    "site",
    "duplicate_cluster",
    "group",  # patients joined by duplicates: the unit that never straddles a split
    "grade",
    "split",  # "test" or "development"
    "fold",  # of a development photograph: fold k is the validation part of fold k's training; empty: never one
)

GRADABILITY_VERSION = 1
GRADABILITY_COLUMNS = (
    "schema_version",
    "image_id",
    "status",  # of the pixel path, or ungradable where the score is under the site's threshold
    "reason",
)

PREDICTIONS_VERSION = 1
PREDICTIONS_COLUMNS = (
    "schema_version",
    "image_id",
    "path",
    "sha256",
    "status",
    "reason",
    "duplicate_of",
    "patient_id",
    "eye",
    "grade",
    "p0",
    "p1",
    "p2",
    "p3",
    "p4",
    "expected_grade",
    "referable",
    "referable_probability",
    "vision_threatening",
    "needs_human",
    "quality",
    "bundle_id",
)
# What is said of one photograph alone, without the folder that it came with: the answer of MLflow's model.
PHOTOGRAPH_COLUMNS = tuple(
    name
    for name in PREDICTIONS_COLUMNS
    if name not in ("schema_version", "image_id", "duplicate_of", "patient_id", "eye")
)

BUNDLE_VERSION = 2  # 2: with weights.safetensors
