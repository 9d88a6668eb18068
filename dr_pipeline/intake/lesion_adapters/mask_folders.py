"""Photographs and folders of masks, matched by name: a folder for each kind, or one of coloured pictures.

A mask belongs to the photograph of the same name without its suffix, or with the kind's abbreviation, its name or
"mask" behind it: `a.tif`, `a_EX.png`, `a_hard_exudates.png` and `a-mask.png` to `a.jpg`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.intake.lesion_adapters.lesion_set import LesionSet, MaskedPhotograph
from dr_pipeline.intake.photographs import list_photographs, one_spelling, stems_as_ids
from dr_pipeline.intake.records import Provenance, shortlist
from dr_pipeline.lesions.kinds import Kind
from dr_pipeline.lesions.mask_files import MaskFile


@dataclass(frozen=True)
class MaskFolder:
    """One folder of masks.

    Attributes:
        folder: The folder.
        masks: How each of its files is read, with an empty path.
    """

    folder: Path
    masks: MaskFile


def read_mask_folders(
    root: Path,
    photographs: Path,
    folders: Sequence[MaskFolder],
    provenance: Provenance,
    *,
    absent_is_none: bool,
    rules: FolderRules = FolderRules(),  # noqa: B008 - frozen
) -> LesionSet:
    """Lists photographs and masks, and matches them by name.

    Args:
        root: The data set's root.
        photographs: The folder of the photographs, in the root.
        folders: Of the masks. One that is missing means that its kinds were annotated in no photograph.
        provenance: Of the data set.
        absent_is_none: Whether a photograph that a folder has no file of shows none of its kinds (as in IDRiD), if it
            has a mask in another folder. Otherwise these kinds were not annotated in it.
        rules: What is left out of the folders.

    Raises:
        DataError: The folder of the photographs or all of the masks are missing, two photographs have one name, or
            two masks of one folder belong to one photograph.
    """
    inside = tuple(f"{folder.folder.relative_to(root).as_posix()}/" for folder in folders)
    listed = list_photographs(root, photographs, rules=rules).photographs
    ids = stems_as_ids([path for path in listed if not path.startswith(inside)])
    path_of = {one_spelling(image_id): path for path, image_id in ids.items()}
    present: list[Kind] = []
    masks: defaultdict[str, list[MaskFile]] = defaultdict(list)
    orphans, missing = [], []
    for folder in folders:
        if not folder.folder.is_dir():
            missing.append(f"{folder.folder.name} ({', '.join(kind.name for kind in folder.masks.kinds)})")
            continue
        present += folder.masks.kinds
        matched, unmatched = _match(list_photographs(root, folder.folder, rules=rules).photographs, path_of, folder)
        orphans += unmatched
        for photograph, mask in matched.items():
            masks[photograph].append(replace(folder.masks, path=mask))
    if not present:
        raise DataError(
            f"none of the folders of masks is there: {'; '.join(missing)}",
            where=printable(root),
            todo="check root, adapter and masks of this entry of `lesions` in params.yaml",
        )
    return LesionSet(
        photographs=tuple(
            MaskedPhotograph(ids[path], path, files, _annotated(files, present, absent_is_none=absent_is_none))
            for path in ids
            if (files := tuple(masks.get(path, ())))
        ),
        provenance=provenance,
        not_annotated=tuple(path for path in ids if path not in masks),
        orphan_masks=tuple(orphans),
        warnings=(f"folders of masks that are missing, their kinds not annotated: {'; '.join(missing)}",)
        if missing
        else (),
    )


def _annotated(files: tuple[MaskFile, ...], present: list[Kind], *, absent_is_none: bool) -> tuple[Kind, ...]:
    if absent_is_none:
        return tuple(present)
    shown = {kind for file in files for kind in file.kinds}
    return tuple(kind for kind in present if kind in shown)


def _match(listed: Iterable[str], path_of: Mapping[str, str], folder: MaskFolder) -> tuple[dict[str, str], list[str]]:
    """The mask of each photograph, by its path, and the masks of none."""
    words = {"mask", *(word for kind in folder.masks.kinds for word in (kind.abbreviation, kind.name))}
    ending = re.compile(rf"[_-]({'|'.join(map(re.escape, sorted(words)))})$", re.IGNORECASE)
    matched: dict[str, str] = {}
    orphans = []
    for mask in listed:
        stem = one_spelling(PurePosixPath(mask).stem)
        photograph = path_of.get(stem) or path_of.get(ending.sub("", stem))
        if photograph is None:
            orphans.append(mask)
        elif photograph in matched:
            raise DataError(
                f"two masks of one photograph: {shortlist([matched[photograph], mask])}",
                where=printable(folder.folder),
                todo="keep one of them, or put each kind into a folder of its own",
            )
        else:
            matched[photograph] = mask
    return matched, orphans
