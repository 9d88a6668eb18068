"""What `score --lesions` writes beside the predictions: one row per file, what was found and the second opinion."""

from dataclasses import dataclass
from typing import Annotated

from dr_pipeline.schema import Eye, Status
from dr_pipeline.tables.table import Cell, Fixed4, GradeCell, Table

VERSION = 2
_OneDecimal = Annotated[float, Cell(".1f")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionRow:
    """One file. Where its status is not `scored`, nothing was looked for; a kind without number is not looked for.

    Positions are in px of the upright original, areas in mm², distances in µm.

    Attributes:
        image_id: As in the table of predictions, as are the next three.
        path: Of the file.
        sha256: Of its bytes.
        status: What became of the file.
        network_grade: The grade in the table of predictions.
        rule_low: The grade of what was found, by the ICDR rules.
        rule_high: The highest grade that cannot be excluded.
        agreement: How the network's answer lies to the rules': agrees; grade_differs, outside the interval;
            referable_differs, one refers and the other does not. Empty where nothing was looked for.
        needs_human: As in the table of predictions: 1 where a person must look, for any reason, of which `agreement`
            is one.
        evidence: Why `rule_low`, in words.
        limits: What was not looked for or not found, and what follows from it, separated by semicolons.
        microaneurysms: Their number.
        hemorrhages: Likewise.
        hard_exudates: Likewise.
        cotton_wool_spots: Likewise.
        irma: Intraretinal microvascular abnormalities, likewise.
        venous_beading: Likewise.
        new_vessels: Likewise.
        preretinal_hemorrhages: Likewise.
        fibrous_tissue: Likewise.
        microaneurysms_mm2: Their area together.
        hemorrhages_mm2: Likewise.
        hard_exudates_mm2: Likewise.
        cotton_wool_spots_mm2: Likewise.
        irma_mm2: Likewise.
        venous_beading_mm2: Likewise.
        new_vessels_mm2: Likewise.
        preretinal_hemorrhages_mm2: Likewise.
        fibrous_tissue_mm2: Likewise.
        hemorrhages_superior_temporal: Hemorrhages of this quadrant; none of the four without disc and fovea.
        hemorrhages_inferior_temporal: Likewise.
        hemorrhages_superior_nasal: Likewise.
        hemorrhages_inferior_nasal: Likewise.
        venous_beading_quadrants: Number of quadrants with venous beading.
        exudate_fovea_um: From the fovea to the nearest edge of a hard exudate; empty without either.
        exudate_within_1dd: Whether that is at most one disc diameter, 1,500 µm; empty without fovea.
        exudate_within_500um: Whether it is at most 500 µm; likewise.
        side: The eye by which side of the disc the fovea is on; unknown without either.
        disc_x: Of the optic disc's centre; empty, as the next two, where no disc was found.
        disc_y: Likewise.
        disc_diameter: Of the optic disc; in a squashed photograph, where it is an ellipse, the geometric mean of width
            and height.
        fovea_x: Of the fovea; empty, as the next, where it is not known.
        fovea_y: Likewise.
        fovea_method: How the fovea was found: network, darkest_near_expected, expected_place or none.
        yardstick: By what px became µm: optic_disc, whose diameter is 1,500 µm; declared_field, the network's angle of
            view.
        um_per_px: Of the original, mean of both directions.
        bundle_id: Of the bundle, by what grades in it.
        lesions_id: Of its network for lesions: the first 16 digits of the SHA-256 of lesions.onnx. Bundles of one
            bundle_id may have different ones.
    """

    image_id: str
    path: str
    sha256: str
    status: Status
    network_grade: GradeCell | None = None
    rule_low: GradeCell | None = None
    rule_high: GradeCell | None = None
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
    exudate_fovea_um: _OneDecimal | None = None
    exudate_within_1dd: bool | None = None
    exudate_within_500um: bool | None = None
    side: Eye = Eye.UNKNOWN
    disc_x: _OneDecimal | None = None
    disc_y: _OneDecimal | None = None
    disc_diameter: _OneDecimal | None = None
    fovea_x: _OneDecimal | None = None
    fovea_y: _OneDecimal | None = None
    fovea_method: str = ""  # see `dr_pipeline.lesions.findings.FoveaMethod`
    yardstick: str = ""
    um_per_px: Fixed4 | None = None
    bundle_id: str
    lesions_id: str


LESIONS = Table(LesionRow, version=VERSION, todo="run `dr-pipeline score --lesions` again")
read_lesions = LESIONS.read
