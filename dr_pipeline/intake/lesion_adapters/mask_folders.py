"""Photographs and folders of masks, matched by name: a folder for each kind, or one of coloured pictures.

A mask belongs to the photograph of the same name without its suffix, or with the kind's abbreviation, its name or
"mask" behind it: `a.tif`, `a_EX.png`, `a_hard_exudates.png` and `a-mask.png` to `a.jpg`. Names are compared with their
sub-folders; without them only where all photographs are in one folder, or no mask of a kind is in a sub-folder, so that
the mask of `c/img1` is never that of `a/img1`.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.intake.lesion_adapters.lesion_set import LesionSet, MaskedPhotograph
from dr_pipeline.intake.photographs import Listing, ids_from_paths, list_photographs, one_spelling
from dr_pipeline.intake.records import Provenance, shortlist
from dr_pipeline.lesions.kinds import Kind
from dr_pipeline.lesions.mask_files import MaskFile

_TODO = "check root, adapter and masks of this entry of `lesions` in params.yaml"
_SECTION = "lesions.NAME.data"
_LINK = "a link out of the data set's folder"
_TEXT = "text"  # as `describe_other` names it


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
        folders: Of the masks. One that is missing or has no mask means that its kinds were annotated in no photograph.
        provenance: Of the data set.
        absent_is_none: Whether a photograph that a folder has no file of shows none of its kinds (as in IDRiD), if it
            has a mask in another folder. Otherwise these kinds were not annotated in it.
        rules: What is left out of the folders, and whether links out of the root are followed.

    Raises:
        DataError: The folder of the photographs or all of the masks are missing, two photographs have one name,
            two masks of one folder belong to one photograph, or a folder has a file that is not read, whose
            photograph would count as without lesions.
    """
    if not photographs.is_dir():
        raise DataError("the folder of the photographs is missing", where=printable(photographs), todo=_TODO)
    inside = tuple(f"{folder.folder.relative_to(root).as_posix()}/" for folder in folders)
    listed = list_photographs(root, photographs, rules=rules, section=_SECTION)
    below = {_below(path, photographs, root): path for path in listed.photographs if not path.startswith(inside)}
    ids = {below[name]: image_id for name, image_id in ids_from_paths(list(below)).items()}
    by_path, by_name = _by_name(below, where=printable(photographs))
    in_one_folder = len({PurePosixPath(name).parent for name in below}) <= 1
    present: list[Kind] = []
    masks: defaultdict[str, list[MaskFile]] = defaultdict(list)
    orphans, missing = [], []
    unread = {path: what for path, what in _unread(listed).items() if not f"{path}/".startswith(inside)}
    warnings = _unread_warnings("photographs", {path: what for path, what in unread.items() if what != _TEXT})
    lost: dict[str, str] = {}
    for folder in folders:
        files: tuple[str, ...] = ()
        if folder.folder.is_dir():
            listing = list_photographs(root, folder.folder, rules=rules, section=_SECTION, may_be_empty=True)
            files, unread = listing.photographs, _unread(listing)
            of_folder = {_below(path, folder.folder, root): path for path in files}
            by_name_here = by_name if in_one_folder or not any("/" in name for name in of_folder) else {}
            # A text beside the masks, such as a licence, is none of them; one that is named as a mask would be may be.
            unread = {
                path: what
                for path, what in unread.items()
                if what != _TEXT or _photograph_of(_below(path, folder.folder, root), by_path, by_name_here, folder)
            }
            warnings += _unread_warnings("masks", unread)
            lost |= unread
        if not files:
            missing.append(f"{folder.folder.name} ({', '.join(kind.name for kind in folder.masks.kinds)})")
            continue
        present += folder.masks.kinds
        matched, unmatched = _match(of_folder, by_path, by_name_here, folder)
        orphans += unmatched
        for photograph, mask in matched.items():
            masks[photograph].append(replace(folder.masks, path=mask))
    if lost and absent_is_none:
        raise DataError(
            f"files in folders of masks are not read; their photographs would count as without lesions: {_named(lost)}",
            where=printable(root),
            todo=_todo_of(lost),
        )
    if not present:
        raise DataError(
            "\n  ".join([f"none of the folders of masks is there, or all are empty: {'; '.join(missing)}", *warnings]),
            where=printable(root),
            todo=_TODO,
        )
    if missing:
        absent = "; ".join(missing)
        warnings.insert(0, f"folders of masks that are missing or empty, their kinds not annotated: {absent}")
    return LesionSet(
        photographs=tuple(
            MaskedPhotograph(ids[path], path, own, _annotated(own, present, absent_is_none=absent_is_none))
            for path in ids
            if (own := tuple(masks.get(path, ())))
        ),
        provenance=provenance,
        not_annotated=tuple(path for path in ids if path not in masks),
        orphan_masks=tuple(orphans),
        warnings=tuple(warnings),
    )


def _annotated(files: tuple[MaskFile, ...], present: list[Kind], *, absent_is_none: bool) -> tuple[Kind, ...]:
    if absent_is_none:
        return tuple(present)
    shown = {kind for file in files for kind in file.kinds}
    return tuple(kind for kind in present if kind in shown)


def _unread(listing: Listing) -> dict[str, str]:
    """What was left aside and may be a photograph or a mask, by its path in printable form."""
    return {
        **dict.fromkeys(listing.outside_links, _LINK),
        **dict.fromkeys(listing.repeated_folders, "a link to a folder that is read already"),
        **dict.fromkeys(listing.unnameable, "a name that is not UTF-8"),
        **listing.unread,
    }


def _unread_warnings(what: str, unread: Mapping[str, str]) -> list[str]:
    return [f"files in a folder of {what} that are not read: {_named(unread)}; {_todo_of(unread)}"] if unread else []


def _named(unread: Mapping[str, str]) -> str:
    return shortlist(f"{path} ({what})" for path, what in unread.items())


def _todo_of(unread: Mapping[str, str]) -> str:
    links = _LINK in unread.values()
    others = any(what != _LINK for what in unread.values())
    return "; ".join(
        [
            *([f"to follow links, set {_SECTION}.follow_links: true"] if links else []),
            *(["save pictures as PNG under plain names, and move other files elsewhere"] if others else []),
        ]
    )


def _below(path: str, folder: Path, root: Path) -> str:
    """The path below a folder, of a path below the root."""
    return PurePosixPath(path).relative_to(folder.relative_to(root).as_posix()).as_posix()


def _by_name(below: Mapping[str, str], *, where: str) -> tuple[dict[str, str], dict[str, str]]:
    """The photographs by their path below the folder, and by their name alone where no other has it; no suffixes.

    Raises:
        DataError: Two differ in nothing but suffix or case.
    """
    paths, names = defaultdict(list), defaultdict(list)
    for name, path in below.items():
        paths[one_spelling(str(PurePosixPath(name).with_suffix("")))].append(path)
        names[one_spelling(PurePosixPath(name).stem)].append(path)
    if twice := [shortlist(several) for several in paths.values() if len(several) > 1]:
        raise DataError(f"photographs of one name: {twice[0]}", where=where, todo="keep or rename one of them")
    unique = {name: several[0] for name, several in names.items() if len(several) == 1}
    return {name: path for name, (path,) in paths.items()}, unique


def _photograph_of(mask: str, by_path: Mapping[str, str], by_name: Mapping[str, str], folder: MaskFolder) -> str | None:
    """The photograph of a mask, by its path below its folder, else by its name alone; None where there is none."""
    words = {"mask", *(word for kind in folder.masks.kinds for word in (kind.abbreviation, kind.name))}
    ending = re.compile(rf"[_-]({'|'.join(map(re.escape, sorted(words)))})$", re.IGNORECASE)
    path, name = one_spelling(str(PurePosixPath(mask).with_suffix(""))), one_spelling(PurePosixPath(mask).stem)
    for known, spelling in ((by_path, path), (by_name, name)):
        for text in (spelling, ending.sub("", spelling)):
            if text in known:
                return known[text]
    return None


def _match(
    below: Mapping[str, str], by_path: Mapping[str, str], by_name: Mapping[str, str], folder: MaskFolder
) -> tuple[dict[str, str], list[str]]:
    """The mask of each photograph, by its path, and the masks of none."""
    matched: dict[str, str] = {}
    orphans = []
    for name, mask in below.items():
        photograph = _photograph_of(name, by_path, by_name, folder)
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
