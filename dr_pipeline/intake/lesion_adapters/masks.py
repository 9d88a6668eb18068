"""Photographs and masks of any data set: a folder for each kind, or coloured pictures of several kinds."""

from pathlib import Path

from dr_pipeline.intake.lesion_adapters.lesion_set import LesionSet
from dr_pipeline.intake.lesion_adapters.mask_folders import MaskFolder, read_mask_folders
from dr_pipeline.intake.records import Provenance
from dr_pipeline.lesions.kinds import kinds_named
from dr_pipeline.lesions.mask_files import MaskFile
from dr_pipeline.params.lesions import LesionData

PROVENANCE = Provenance(name="photographs with masks", licence="the owner's", citation="")
_WHERE = "params.yaml, lesions, masks"


def read(root: Path, params: LesionData) -> LesionSet:
    """Reads the folders that `masks` of the entry in params.yaml declares.

    Raises:
        DataError: A folder is missing, or names do not match.
    """
    layout, threshold = params.masks, params.grey_threshold
    folders = [
        MaskFolder(root / folder, MaskFile("", kinds_named([name], where=_WHERE), grey_threshold=threshold))
        for name, folder in layout.folders.items()
    ]
    if layout.pictures:
        kinds = kinds_named(layout.colours, where=_WHERE)
        colours = tuple(_rgb(colour) for colour in layout.colours.values())
        folders.append(MaskFolder(root / layout.pictures, MaskFile("", kinds, colours)))
    return read_mask_folders(
        root, root / layout.photographs, folders, PROVENANCE, absent_is_none=layout.without_file == "none"
    )


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
