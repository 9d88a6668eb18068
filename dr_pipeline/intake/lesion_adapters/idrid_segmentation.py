"""IDRiD, part A: Segmentation; its training set was tried on the real download.

54 photographs with masks of microaneurysms, haemorrhages, hard and soft exudates and the optic disc. A photograph
without a file for a lesion has none of it. The official testing set (27) is left for a last test and not read.
"""

from dataclasses import replace
from pathlib import Path

from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.intake.lesion_adapters.lesion_set import LesionSet
from dr_pipeline.intake.lesion_adapters.mask_folders import MaskFolder, read_mask_folders
from dr_pipeline.intake.records import Provenance
from dr_pipeline.lesions.kinds import COTTON_WOOL_SPOTS, HARD_EXUDATES, HEMORRHAGES, MICROANEURYSMS, OPTIC_DISC
from dr_pipeline.lesions.mask_files import MaskFile
from dr_pipeline.params.lesions import LesionData

PROVENANCE = Provenance(
    name="IDRiD, part A: Segmentation",
    licence="CC-BY-4.0",
    citation=(
        "Porwal P. et al.: Indian Diabetic Retinopathy Image Dataset (IDRiD). Data 2018;3(3):25, "
        "doi:10.3390/data3030025."
    ),
)
_PART = "A. Segmentation"
_PHOTOGRAPHS = "1. Original Images"
_MASKS = "2. All Segmentation Groundtruths"
_TRAINING, _TESTING = "a. Training Set", "b. Testing Set"
_FOLDERS = {
    "1. Microaneurysms": MICROANEURYSMS,
    "2. Haemorrhages": HEMORRHAGES,
    "3. Hard Exudates": HARD_EXUDATES,
    "4. Soft Exudates": COTTON_WOOL_SPOTS,
    "5. Optic Disc": OPTIC_DISC,
}


def read(root: Path, params: LesionData) -> LesionSet:
    """Reads the official download; `root` contains "A. Segmentation".

    Raises:
        DataError: A folder is missing, names do not match, or a file of masks is not read.
    """
    part = root / _PART
    result = read_mask_folders(
        root,
        part / _PHOTOGRAPHS / _TRAINING,
        [
            MaskFolder(part / _MASKS / _TRAINING / folder, MaskFile("", (kind,), grey_threshold=params.grey_threshold))
            for folder, kind in _FOLDERS.items()
        ],
        PROVENANCE,
        absent_is_none=True,
        rules=FolderRules(follow_links=params.follow_links),
    )
    if not (part / _PHOTOGRAPHS / _TESTING).exists():
        return result
    return replace(result, warnings=(*result.warnings, "the official testing set is left for a last test, not read"))
