"""Image ids: unique on every file system, and safe as a file name, a tar key and a CSV cell."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.intake.records import listed

# No dots: WebDataset takes all that stands before the first dot of a member's name as its key.
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
# A file name may have 255 bytes; `<image_id>.png` and temporary names must fit as well.
MAX_ID_CHARACTERS = 100
_HASH_CHARACTERS = 8


def check_ids(image_ids: Iterable[str], *, where: str) -> None:
    """Checks ids that a public data set brings along.

    Raises:
        DataError: An id is unsafe, or two are equal when upper and lower case are not told apart.
    """
    ids = list(image_ids)
    unsafe = [repr(name) for name in ids if not _SAFE.fullmatch(name) or len(name) > MAX_ID_CHARACTERS]
    if unsafe:
        raise DataError(
            f"image names with other characters than A–Z a–z 0–9 _ - or longer than {MAX_ID_CHARACTERS}: "
            f"{listed(unsafe)}",
            where=where,
            todo="rename them, or read the photographs with the adapter `folder`, which makes its own ids",
        )
    collisions = _collisions(ids)
    if collisions:
        raise DataError(
            f"image ids that some file systems cannot tell apart: {listed(' = '.join(group) for group in collisions)}",
            where=where,
            todo="rename one of each",
        )


def ids_from_paths(paths: Sequence[str]) -> dict[str, str]:
    """Gives each relative path its id.

    A plain name at the root is its own id (`p1_left.jpg` → `p1_left`). Any other path becomes a slug with a short
    hash of the path, and so do plain names that collide (`p1.jpg`, `P1.png`): an id depends on no order.

    Raises:
        DataError: Two ids are still equal.
    """
    ids = {path: _id_of(path) for path in paths}
    colliding = {name for group in _collisions(ids.values()) for name in group}
    ids = {path: _hashed(name, path) if name in colliding else name for path, name in ids.items()}
    check_ids(ids.values(), where="ids made from paths")
    return ids


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
