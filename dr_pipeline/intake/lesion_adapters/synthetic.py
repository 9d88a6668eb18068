"""The phantom, drawn by this project: photographs with exact masks of every kind, as bits of 16.

A copy of a photograph, and a picture that shows no fundus, has no mask and is left out.
"""

from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.intake.lesion_adapters.lesion_set import LesionSet, MaskedPhotograph
from dr_pipeline.intake.phantom.generate import LABELS, LESION_MASKS, PHANTOM_LABELS, PHOTOGRAPHS
from dr_pipeline.intake.records import Provenance
from dr_pipeline.lesions.kinds import KINDS
from dr_pipeline.lesions.mask_files import MaskFile
from dr_pipeline.params.lesions import LesionData

PROVENANCE = Provenance(
    name="synthetic phantom with masks",
    licence="Apache-2.0 (drawn by this project)",
    citation="Drawn by dr_pipeline/intake/phantom; no photograph of a person is in it.",
)


def read(root: Path, _params: LesionData) -> LesionSet:
    """Reads the phantom's labels and lists its masks.

    Raises:
        DataError: The table or the folder is missing or wrong.
    """
    folder = root / LESION_MASKS
    if not folder.is_dir():
        raise DataError("the folder of masks is missing", where=str(folder), todo="run `dvc repro phantom`")
    masks = {path.stem: f"{LESION_MASKS}/{path.name}" for path in folder.glob("*.png")}
    labels = {Path(label.image).stem: label for label in PHANTOM_LABELS.read(root / LABELS)}
    return LesionSet(
        photographs=tuple(
            MaskedPhotograph(
                image_id=image_id,
                path=f"{PHOTOGRAPHS}/{label.image}",
                masks=(MaskFile(masks[image_id], KINDS),),
                annotated=KINDS,
                patient_id=label.patient,
                site=label.site,
            )
            for image_id, label in labels.items()
            if image_id in masks
        ),
        provenance=PROVENANCE,
        not_annotated=tuple(f"{PHOTOGRAPHS}/{label.image}" for name, label in labels.items() if name not in masks),
        orphan_masks=tuple(path for name, path in masks.items() if name not in labels),
    )
