"""data/manifest.csv and data/audited.csv: one row per photograph."""

from dataclasses import dataclass

from dr_pipeline.schema import REFERABLE_FROM, Eye, Role, Split
from dr_pipeline.tables.table import GradeCell, Table

VERSION = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """One photograph, with what its data set states about it."""

    image_id: str
    path: str  # relative to the data set's root, with forward slashes; absolute where a source lies elsewhere
    sha256: str = ""  # of the file's bytes; empty where it cannot be read
    pixel_hash: str = ""  # of the decoded pixels; empty until audit
    perceptual_hash: str = ""  # of the canonical disc, 64 hexadecimal digits; empty until audit
    patient_id: str = ""  # empty: declared unknown
    eye: Eye = Eye.UNKNOWN
    visit: str = ""
    field: str = ""  # which view of the eye, where a set has several
    grade: GradeCell | None = None
    referable: bool | None = None  # where a reference standard has only this and no grade
    grader: str = ""
    site: str = ""
    camera: str = ""
    pixel_spacing_mm: str = ""  # on the retina, where the file states it; text, so that its digits stay as they are
    official_split: Split | None = None  # as the data set's authors divided it
    width: int | None = None
    height: int | None = None
    source: str = ""  # the adapter's name, or that of one of several sources
    role: Role = Role.ALL  # of its source
    duplicate_cluster: str = ""  # empty until audit
    same_eye: str = ""  # group of the photographs of one eye; empty: none found or not searched
    excluded: bool = False
    exclusion_reason: str = ""

    @property
    def is_referable(self) -> bool | None:
        """Whether the label is referable disease, by the grade where there is one; None without a label."""
        return self.referable if self.grade is None else self.grade >= REFERABLE_FROM


MANIFEST = Table(ManifestRow, version=VERSION)
read_manifest = MANIFEST.read
iterate_manifest = MANIFEST.iterate
write_manifest = MANIFEST.write
