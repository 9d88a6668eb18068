"""The adapters of masks by their name in params.yaml."""

from pathlib import Path

from dr_pipeline.intake.lesion_adapters import idrid_segmentation, masks, synthetic
from dr_pipeline.intake.lesion_adapters.lesion_set import LesionSet
from dr_pipeline.params.lesions import LesionData

ADAPTERS = {
    "idrid_segmentation": idrid_segmentation.read,
    "masks": masks.read,
    "synthetic": synthetic.read,
}


def read_lesion_set(params: LesionData) -> LesionSet:
    """Reads the data set of one entry of the section `lesions`; errors are those of its adapter."""
    return ADAPTERS[params.adapter](Path(params.root), params)
