"""Lists the photographs under a folder, in natural order; nothing is left out without being counted.

A file is a photograph by its suffix. Cameras often write DICOM files without a suffix, or with a part of a UID as one:
a file with any other suffix is a photograph where its content says DICOM.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.fundus.dicom.recognise import is_dicom

IMAGE_SUFFIXES = frozenset({".bmp", ".dcm", ".dicom", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Listing:
    """The files under one folder.

    Attributes:
        photographs: Paths relative to the data set's root, forward slashes, in natural order.
        hidden_files: Number of files in hidden folders or with a leading dot (macOS leaves `._x.jpg` beside `x.jpg`).
        other_files: Number of files of other kinds.
        repeated_folders: Linked folders that lead to a place already read.
        unnameable: Photographs, printable, whose names are not UTF-8: no table can hold them.
    """

    photographs: tuple[str, ...]
    hidden_files: int
    other_files: int
    repeated_folders: tuple[str, ...] = ()
    unnameable: tuple[str, ...] = ()


def list_photographs(root: Path, folder: Path) -> Listing:
    """Lists `folder` and all below it, links followed, each real folder once.

    Args:
        root: The data set's root, to which the listed paths are relative.
        folder: `root` or a folder in it.

    Raises:
        DataError: A folder is missing or unreadable, or there is no photograph at all.
    """
    if not folder.is_dir():
        raise DataError(
            "this is no folder" if folder.exists() else "the folder of photographs is missing",
            where=printable(folder),
            todo="check dataset.root and dataset.adapter in params.yaml, or `dr-pipeline recipe NAME --root PATH`",
        )
    photographs: list[str] = []
    repeated: list[str] = []
    hidden = other = 0
    for here, files in _each_folder_once(folder, repeated):
        in_hidden = any(part.startswith(".") for part in here.relative_to(folder).parts)
        prefix = "" if here == root else f"{here.relative_to(root).as_posix()}/"
        for name in files:
            if in_hidden or name.startswith("."):
                hidden += 1
            elif PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES or is_dicom(here / name):
                photographs.append(prefix + name)
            else:
                other += 1
    nameable = [path for path in photographs if _is_utf8(path)]
    if not nameable:
        raise DataError(
            f"no photograph found; looked for {', '.join(sorted(IMAGE_SUFFIXES))} in any case",
            where=printable(folder),
            todo="check dataset.root and dataset.adapter in params.yaml",
        )
    return Listing(
        photographs=tuple(sorted(nameable, key=natural_key)),
        hidden_files=hidden,
        other_files=other,
        repeated_folders=tuple(printable(Path(path).relative_to(root)) for path in repeated),
        unnameable=tuple(sorted(printable(path) for path in photographs if not _is_utf8(path))),
    )


def natural_key(text: str) -> tuple[list[tuple[int, str]], str]:
    """Orders `image2` before `image10`; the text itself breaks ties, so that the order is total."""
    parts = [(int(p), "") if p.isdecimal() and p.isascii() else (-1, p.casefold()) for p in _DIGITS.split(text)]
    return parts, text


def relative_path(cell: str) -> PurePosixPath | None:
    """A table's cell as a path below the root; None where it leads out of it (`../x.jpg`, `/x.jpg`, `C:/x.jpg`)."""
    path = PurePosixPath(cell.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", cell):
        return None
    return path


def _each_folder_once(folder: Path, repeated: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """Real folders first, then linked ones, so that a photograph has its real path; a loop of links ends."""
    pending = [folder]
    seen: set[str] = set()
    while pending:
        for here, folders, files in os.walk(pending.pop(0), onerror=_refuse):
            if os.path.realpath(here) in seen:
                repeated.append(here)
                folders.clear()
                continue
            seen.add(os.path.realpath(here))
            links = sorted(name for name in folders if (Path(here) / name).is_symlink())
            pending += [Path(here) / name for name in links]
            folders[:] = sorted(name for name in folders if name not in links)
            yield Path(here), files


def _refuse(error: OSError) -> None:
    # Nobody can list what is in it: to go on would lose photographs without a word.
    raise DataError(
        f"a folder cannot be read: {error.strerror}",
        where=printable(error.filename or ""),
        todo="give yourself the right to read it, or move it away",
    ) from None


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
