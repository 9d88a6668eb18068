"""Photographs and masks of any data set: a folder for each kind, or coloured pictures of several kinds."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.intake.lesion_adapters.lesion_set import LesionSet
from dr_pipeline.intake.lesion_adapters.mask_folders import MaskFolder, read_mask_folders
from dr_pipeline.intake.name_pattern import compile_patient_pattern, patient_in
from dr_pipeline.intake.photographs import relative_path
from dr_pipeline.intake.records import Provenance, shortlist
from dr_pipeline.lesions.kinds import kinds_named
from dr_pipeline.lesions.mask_files import MaskFile
from dr_pipeline.params.lesions import LesionData, MaskFolders

PROVENANCE = Provenance(name="photographs with masks", licence="the owner's", citation="")
_WHERE = "params.yaml, lesions, masks"
_PATTERN = "params.yaml, lesions.NAME.data.masks.name_pattern"


def read(root: Path, params: LesionData) -> LesionSet:
    """Reads the folders that `masks` of the entry in params.yaml declares.

    Raises:
        ParamsError: `name_pattern` is no regular expression with a group `patient`.
        DataError: A folder is missing, outside the root or named for two kinds, names do not match, or a file of masks
            is not read.
    """
    layout, threshold = params.masks, params.grey_threshold
    _require_places(layout)
    folders = [
        MaskFolder(root / folder, MaskFile("", kinds_named([name], where=_WHERE), grey_threshold=threshold))
        for name, folder in layout.folders.items()
    ]
    if layout.pictures:
        kinds = kinds_named(layout.colours, where=_WHERE)
        colours = tuple(_rgb(colour) for colour in layout.colours.values())
        folders.append(MaskFolder(root / layout.pictures, MaskFile("", kinds, colours)))
    pattern = compile_patient_pattern(layout.name_pattern, where=_PATTERN) if layout.name_pattern else None
    result = read_mask_folders(
        root,
        root / layout.photographs,
        folders,
        PROVENANCE,
        absent_is_none=layout.without_file == "none",
        rules=FolderRules(follow_links=params.follow_links),
    )
    return result if pattern is None else _with_patients(result, pattern)


def _with_patients(result: LesionSet, pattern: re.Pattern[str]) -> LesionSet:
    photographs = tuple(replace(one, patient_id=patient_in(one.path, pattern)) for one in result.photographs)
    unknown = [one.path for one in photographs if not one.patient_id]
    warnings = [f"file names in which `name_pattern` finds no patient: {shortlist(unknown)}"] if unknown else []
    return replace(result, photographs=photographs, warnings=(*result.warnings, *warnings))


def _require_places(layout: MaskFolders) -> None:
    named = [layout.photographs, *layout.folders.values(), layout.pictures]
    if outside := [folder for folder in named if relative_path(folder) is None]:
        raise DataError(
            f"folders outside the data set's root: {shortlist(outside)}",
            where=_WHERE,
            todo="write them relative to `root`, or link them there",
        )
    uses = Counter(str(relative_path(folder)) for folder in layout.folders.values())
    if twice := [folder for folder, count in uses.items() if count > 1]:
        raise DataError(
            f"one folder for several kinds: {shortlist(twice)}; each of them would be all that its masks show",
            where=_WHERE,
            todo="name a folder for each kind, or use coloured `pictures`",
        )


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
