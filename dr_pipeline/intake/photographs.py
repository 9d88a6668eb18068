"""Lists the photographs under a folder in natural order, and gives them image ids.

A file is a photograph by its suffix. Cameras often write DICOM files without a suffix, or with part of a UID as suffix:
a file with any other suffix is a photograph where its content is DICOM. Every file that is skipped is counted.

An image id is unique on every file system, and safe as a file name, a tar key and a CSV cell.
"""

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.fundus.dicom.recognise import is_dicom
from dr_pipeline.intake.records import shortlist

IMAGE_SUFFIXES = frozenset({".bmp", ".dcm", ".dicom", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
# A file name may have 255 bytes; `<image_id>.png` and temporary names must fit as well.
MAX_ID_CHARACTERS = 100
_HASH_CHARACTERS = 8
_DIGITS = re.compile(r"(\d+)")
# No dots: WebDataset takes everything before the first dot of a member's name as its key.
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Listing:
    """The files under one folder.

    Attributes:
        photographs: Paths relative to the data set's root, forward slashes, in natural order.
        hidden_files: Number of files in hidden folders or with a leading dot (macOS writes `._x.jpg` beside `x.jpg`).
        other_files: Number of files of other kinds.
        repeated_folders: Linked folders whose target was already read.
        unnameable: Photographs, in printable form, whose names are not UTF-8: no table can contain them.
    """

    photographs: tuple[str, ...]
    hidden_files: int
    other_files: int
    repeated_folders: tuple[str, ...] = ()
    unnameable: tuple[str, ...] = ()

    def warnings(self) -> tuple[str, ...]:
        """What was skipped, as sentences for the report."""
        linked = (f"{folder} is a link to a folder read already; left aside" for folder in self.repeated_folders)
        if not self.unnameable:
            return tuple(linked)
        names = shortlist(self.unnameable)
        return (*linked, f"photographs whose file names are not UTF-8 cannot be in a table; rename them: {names}")


def list_photographs(root: Path, folder: Path) -> Listing:
    """Lists `folder` and everything below it; links are followed, each real folder is read once.

    Args:
        root: The data set's root, to which the listed paths are relative.
        folder: `root` or a folder in it.

    Raises:
        DataError: A folder is missing or unreadable, or there is no photograph at all.
    """
    if not folder.is_dir():
        raise DataError(
            "this is not a folder" if folder.exists() else "the folder of photographs is missing",
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
    """A table's cell as a path below the root; None where it leads outside it (`../x.jpg`, `/x.jpg`, `C:/x.jpg`)."""
    path = PurePosixPath(cell.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", cell):
        return None
    return path


def check_ids(image_ids: Iterable[str], *, where: str) -> None:
    """Checks the ids of a public data set.

    Raises:
        DataError: An id is unsafe, or two differ only in case.
    """
    ids = list(image_ids)
    unsafe = [repr(name) for name in ids if not _SAFE.fullmatch(name) or len(name) > MAX_ID_CHARACTERS]
    if unsafe:
        raise DataError(
            f"image names with characters other than A–Z a–z 0–9 _ - or longer than {MAX_ID_CHARACTERS}: "
            f"{shortlist(unsafe)}",
            where=where,
            todo="rename them, or read the photographs with the adapter `folder`, which generates its own ids",
        )
    collisions = _collisions(ids)
    if collisions:
        raise DataError(
            f"image ids that some file systems treat as equal: {shortlist(' = '.join(group) for group in collisions)}",
            where=where,
            todo="rename one of each",
        )


def ids_from_paths(paths: Sequence[str]) -> dict[str, str]:
    """The id of each relative path.

    A plain name at the root is its own id (`p1_left.jpg` → `p1_left`). Any other path becomes a slug with a short
    hash of the path, and so do plain names that collide (`p1.jpg`, `P1.png`): an id does not depend on the order.

    Raises:
        DataError: Two ids are still equal.
    """
    ids = {path: _id_of(path) for path in paths}
    colliding = {name for group in _collisions(ids.values()) for name in group}
    ids = {path: _hashed(name, path) if name in colliding else name for path, name in ids.items()}
    check_ids(ids.values(), where="ids made from paths")
    return ids


def stems_as_ids(paths: Sequence[str]) -> dict[str, str]:
    """A public data set's own names, without folder and suffix.

    Raises:
        DataError: A name is unsafe as an id, or two differ only in case.
    """
    ids = {path: PurePosixPath(path).stem for path in paths}
    check_ids(ids.values(), where=str(PurePosixPath(paths[0]).parent) if paths else "")
    return ids


def _each_folder_once(folder: Path, repeated: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """Real folders first, then linked ones, so that a photograph has its real path; a loop of links terminates."""
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
    # Its content cannot be listed: continuing would silently lose photographs.
    raise DataError(
        f"a folder cannot be read: {error.strerror}",
        where=printable(error.filename or ""),
        todo="make it readable, or move it elsewhere",
    ) from None


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _id_of(path: str) -> str:
    stem = str(PurePosixPath(path).with_suffix(""))
    slug = _UNSAFE.sub("-", unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()).strip("-")
    slug = slug[: MAX_ID_CHARACTERS - _HASH_CHARACTERS - 1]
    return slug if slug == stem else _hashed(slug, path)


def _hashed(slug: str, path: str) -> str:
    digest = hashlib.sha256(path.encode()).hexdigest()[:_HASH_CHARACTERS]
    return f"{slug}-{digest}" if slug else digest


def _collisions(ids: Iterable[str]) -> list[list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in ids:
        groups[name.casefold()].append(name)
    return [sorted(group) for _, group in sorted(groups.items()) if len(group) > 1]
