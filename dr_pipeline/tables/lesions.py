"""What `score --lesions` writes beside the predictions: one row per file, what was found and the second opinion."""

from dataclasses import dataclass
from typing import Annotated

from dr_pipeline.schema import Eye, Status
from dr_pipeline.tables.table import Cell, Fixed4, GradeCell, Table

VERSION = 1
_OneDecimal = Annotated[float, Cell(".1f")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionRow:
    """One file. Where its status is not `scored`, nothing was looked for; a kind without number is not looked for.

    Positions are in px of the upright original, areas in mm², distances in µm.
    """

    image_id: str
    path: str
    sha256: str
    status: Status
    network_grade: GradeCell | None = None
    rule_low: GradeCell | None = None  # the grade of what was found, by the ICDR rules
    rule_high: GradeCell | None = None  # the highest that cannot be excluded
    agreement: str = ""  # see `dr_pipeline.lesions.icdr.Agreement`
    needs_human: bool = True
    evidence: str = ""
    limits: str = ""
    microaneurysms: int | None = None
    hemorrhages: int | None = None
    hard_exudates: int | None = None
    cotton_wool_spots: int | None = None
    irma: int | None = None
    venous_beading: int | None = None
    new_vessels: int | None = None
    preretinal_hemorrhages: int | None = None
    fibrous_tissue: int | None = None
    microaneurysms_mm2: Fixed4 | None = None
    hemorrhages_mm2: Fixed4 | None = None
    hard_exudates_mm2: Fixed4 | None = None
    cotton_wool_spots_mm2: Fixed4 | None = None
    irma_mm2: Fixed4 | None = None
    venous_beading_mm2: Fixed4 | None = None
    new_vessels_mm2: Fixed4 | None = None
    preretinal_hemorrhages_mm2: Fixed4 | None = None
    fibrous_tissue_mm2: Fixed4 | None = None
    hemorrhages_superior_temporal: int | None = None  # quadrants: see `dr_pipeline.lesions.quadrants`
    hemorrhages_inferior_temporal: int | None = None
    hemorrhages_superior_nasal: int | None = None
    hemorrhages_inferior_nasal: int | None = None
    venous_beading_quadrants: int | None = None
    exudate_fovea_um: _OneDecimal | None = None  # from the fovea to the nearest edge of a hard exudate
    exudate_within_1dd: bool | None = None  # nearer than one disc diameter, 1,500 µm
    exudate_within_500um: bool | None = None
    side: Eye = Eye.UNKNOWN  # by which side of the disc the fovea is on
    disc_x: _OneDecimal | None = None
    disc_y: _OneDecimal | None = None
    disc_diameter: _OneDecimal | None = None
    fovea_x: _OneDecimal | None = None
    fovea_y: _OneDecimal | None = None
    fovea_method: str = ""
    yardstick: str = ""  # optic_disc: its diameter is 1,500 µm; declared_field: the network's angle of view
    um_per_px: Fixed4 | None = None
    bundle_id: str


LESIONS = Table(LesionRow, version=VERSION, todo="run `dr-pipeline score --lesions` again")
read_lesions = LESIONS.read
