"""What an adapter of masks returns: one record per photograph, and what did not fit."""

from dataclasses import dataclass

from dr_pipeline.intake.records import Provenance
from dr_pipeline.lesions.kinds import Kind
from dr_pipeline.lesions.mask_files import MaskFile


@dataclass(frozen=True)
class MaskedPhotograph:
    """One photograph with its masks.

    Attributes:
        image_id: Unique, and safe as a file name, see `dr_pipeline.intake.photographs`.
        path: Relative to the data set's root, with forward slashes.
        masks: Its masks; one annotated kind without a file is not in the photograph.
        annotated: The kinds that somebody looked for in this photograph. Of the others nothing is known.
        patient_id: Empty where unknown.
        site: Empty where unknown.
    """

    image_id: str
    path: str
    masks: tuple[MaskFile, ...]
    annotated: tuple[Kind, ...]
    patient_id: str = ""
    site: str = ""


@dataclass(frozen=True)
class LesionSet:
    """The result of reading one data set with masks.

    Attributes:
        photographs: Those in which at least one kind was annotated.
        provenance: Where the data set comes from.
        not_annotated: Photographs, relative to the root, of which nothing is known; left out.
        orphan_masks: Masks, relative to the root, without a photograph.
        warnings: Sentences for the report.
    """

    photographs: tuple[MaskedPhotograph, ...]
    provenance: Provenance
    not_annotated: tuple[str, ...] = ()
    orphan_masks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
