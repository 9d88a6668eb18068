"""Lists the photographs under a folder in natural order, and gives them image ids.

A file is a photograph by its content, whatever its name (`x.jfif`, `x.JPG.bak`, no suffix, part of a UID as suffix). A
file with the suffix of a photograph is listed whatever its content: where it is broken, preprocessing says why. Every
file that is left aside is counted by its kind.

An image id is unique on every file system, and safe as a file name, a tar key and a CSV cell.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.folder_rules import FolderRules, count_files, describe_counts
from dr_pipeline.fundus.formats.other_files import UNREAD_PICTURES, describe_other, read_head
from dr_pipeline.fundus.formats.recognise import recognise
from dr_pipeline.intake.records import shortlist

if TYPE_CHECKING:  # pydantic, which the base installation lacks: `shifts` and `compare` list photographs there
    from dr_pipeline.params.data_source import Dataset

IMAGE_SUFFIXES = frozenset({".bmp", ".dcm", ".dicom", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
# Kinds of files that are left aside, beside those of folder_rules.py and other_files.py.
HIDDEN_FILES = "hidden files"
UNREADABLE_FILES = "unreadable files"
OUTSIDE_LINKS = "links out of the folder"
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
        left_aside: Number of the other files by kind: a system's own, ignored, hidden (a name or a folder with a
            leading dot), links out of the root, text, PDF, HEIC …
        outside_links: Links, in printable form, whose target is outside the root and which were not followed.
        repeated_folders: Linked folders whose target was already read.
        unnameable: Photographs, in printable form, whose names are not UTF-8: no table can contain them.
        unread: What each file is that is no photograph by suffix and content, by its path in printable form.
    """

    photographs: tuple[str, ...]
    left_aside: Mapping[str, int]
    outside_links: tuple[str, ...] = ()
    repeated_folders: tuple[str, ...] = ()
    unnameable: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    def warnings(self) -> tuple[str, ...]:
        """What was left aside and may be photographs, as sentences for the report."""
        sentences = [f"{folder} is a link to a folder read already; left aside" for folder in self.repeated_folders]
        if self.outside_links:
            sentences.append(_outside(self.outside_links))
        if self.unnameable:
            names = shortlist(self.unnameable)
            sentences.append(f"photographs whose file names are not UTF-8 cannot be in a table; rename them: {names}")
        unread = {kind: count for kind, count in self.left_aside.items() if kind in UNREAD_PICTURES}
        if unread:
            formats = describe_counts(unread)
            sentences.append(f"pictures in formats that are not read: {formats}; export them as JPEG or PNG")
        return tuple(sentences)


def list_photographs(
    root: Path,
    folder: Path,
    *,
    rules: FolderRules = FolderRules(),  # noqa: B008 - frozen
    section: str = "dataset",
    may_be_empty: bool = False,
) -> Listing:
    """Lists `folder` and everything below it; each real folder is read once, links inside the root are followed.

    Args:
        root: The data set's root, to which the listed paths are relative.
        folder: `root` or a folder in it.
        rules: What is left out, and whether links out of the root are followed.
        section: Of params.yaml, that declares the folder: errors name it.
        may_be_empty: Whether a folder without a photograph is no error.

    Raises:
        DataError: A folder is missing or unreadable, or there is no photograph at all.
    """
    if not folder.is_dir():
        raise DataError(
            "this is not a folder" if folder.exists() else "the folder of photographs is missing",
            where=printable(folder),
            todo=f"check {section}.root and {section}.adapter in params.yaml, or `dr-pipeline recipe NAME --root PATH`",
        )
    walk = _Walk(root, rules)
    photographs: list[str] = []
    unread: dict[str, str] = {}
    for path, relative in walk.files(folder):
        kind = "" if PurePosixPath(relative).suffix.lower() in IMAGE_SUFFIXES else _kind_by_content(path)
        if kind:
            walk.left_aside[kind] += 1
            unread[printable(relative)] = kind
        else:
            photographs.append(relative)
    nameable = [path for path in photographs if _is_utf8(path)]
    if not (nameable or may_be_empty):
        raise _no_photograph(folder, walk, section)
    return Listing(
        photographs=tuple(sorted(nameable, key=natural_key)),
        left_aside=dict(sorted(walk.left_aside.items())),
        outside_links=tuple(sorted(map(printable, walk.outside_links), key=natural_key)),
        repeated_folders=tuple(map(printable, walk.repeated_folders)),
        unnameable=tuple(sorted(printable(path) for path in photographs if not _is_utf8(path))),
        unread={path: unread[path] for path in sorted(unread, key=natural_key)},
    )


def rules_of(dataset: "Dataset") -> FolderRules:
    """What params.yaml leaves out of the folder, beside what is no part of any data set."""
    return FolderRules(dataset.ignore, dataset.follow_links)


def natural_key(text: str) -> tuple[list[tuple[int, str]], str]:
    """Orders `image2` before `image10`; the text itself breaks ties, so that the order is total."""
    parts = [(int(p), "") if p.isdecimal() and p.isascii() else (-1, p.casefold()) for p in _DIGITS.split(text)]
    return parts, text


def one_spelling(text: str) -> str:
    """A name without regard to case and to how it is composed: 'é' is two characters in macOS's file names."""
    return unicodedata.normalize("NFC", text).casefold()


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


def prefixed_id(prefix: str, image_id: str) -> str:
    """The id of a photograph of one of several sources: `idrid__IDRiD_001`.

    A prefix has no "__" and does not end in "_" (see `Source`), so that ids of two sources are never equal. An id that
    would be too long ends in a hash instead.
    """
    name = f"{prefix}__{image_id}"
    return name if len(name) <= MAX_ID_CHARACTERS else _hashed(name[: MAX_ID_CHARACTERS - _HASH_CHARACTERS - 1], name)


def stems_as_ids(paths: Sequence[str]) -> dict[str, str]:
    """A public data set's own names, without folder and suffix.

    Raises:
        DataError: A name is unsafe as an id, or two differ only in case.
    """
    ids = {path: PurePosixPath(path).stem for path in paths}
    check_ids(ids.values(), where=str(PurePosixPath(paths[0]).parent) if paths else "")
    return ids


class _Walk:
    """A walk below the data set's root that remembers what it has left aside; paths are relative to the root."""

    def __init__(self, root: Path, rules: FolderRules) -> None:
        self._root, self._real_root, self._rules = root, root.resolve(), rules
        self.left_aside = Counter[str]()
        self.outside_links: list[str] = []
        self.repeated_folders: list[str] = []

    def files(self, folder: Path) -> Iterator[tuple[Path, str]]:
        """Yields each file that is not left aside by its name or as a link.

        Real folders come first, then linked ones, so that a photograph has its real path; a loop of links terminates.
        """
        pending, seen = [folder], set[str]()
        while pending:
            for here, folders, files in os.walk(pending.pop(0), onerror=_refuse):
                relative = os.path.relpath(here, self._root)
                prefix = "" if relative == "." else f"{Path(relative).as_posix()}/"
                if os.path.realpath(here) in seen:
                    self.repeated_folders.append(relative)
                    folders.clear()
                    continue
                seen.add(os.path.realpath(here))
                inner = [name for name in sorted(folders) if not self._leave_aside(Path(here, name), prefix + name)]
                pending += [Path(here, name) for name in inner if Path(here, name).is_symlink()]
                folders[:] = [name for name in inner if not Path(here, name).is_symlink()]
                for name in files:
                    if not self._leave_aside(Path(here, name), prefix + name):
                        yield Path(here, name), prefix + name

    def _leave_aside(self, path: Path, relative: str) -> bool:
        """Counts a file, or the files of a folder, that are no part of the data set."""
        is_link = path.is_symlink()
        if kind := _left_out(relative, self._rules):
            self.left_aside[kind] += count_files(path) if path.is_dir() and not is_link else 1
            return True
        if is_link and (path.is_file() or path.is_dir()) and self._rules.leads_out(path, self._real_root):
            self.left_aside[OUTSIDE_LINKS] += 1
            self.outside_links.append(relative)
            return True
        return False


def _left_out(relative: str, rules: FolderRules) -> str:
    """The kind of a file or folder that is left aside by its name; else ""."""
    return rules.left_out(relative) or (HIDDEN_FILES if relative.rpartition("/")[2].startswith(".") else "")


def _kind_by_content(path: Path) -> str:
    """What a file is that is no photograph by its content; "" where it is one."""
    head = read_head(path)
    if head is None:
        return UNREADABLE_FILES
    return "" if recognise(head) else describe_other(head)


def _no_photograph(folder: Path, walk: _Walk, section: str) -> DataError:
    found = f"; left aside: {describe_counts(walk.left_aside)}" if walk.left_aside else ""
    return DataError(
        f"no photograph found: no file is a JPEG, PNG, TIFF, BMP, WebP or DICOM file by its content or suffix{found}",
        where=printable(folder),
        todo=f"links lead out of the folder; to follow them, set {section}.follow_links: true"
        if walk.outside_links
        else f"check {section}.root and {section}.adapter in params.yaml",
    )


def _outside(links: Sequence[str]) -> str:
    return (
        f"links that lead out of the data set's folder were not followed: {shortlist(links)}; to follow them, set "
        "dataset.follow_links: true"
    )


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
