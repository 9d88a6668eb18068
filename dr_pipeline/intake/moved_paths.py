"""Finds the photographs of rows that name them as they once lay: under another folder, or with another suffix.

Tables come from other machines: `/kaggle/input/aptos/train_images/a.png`, `C:\\data\\a.jpg`, `gs://bucket/a.jpg`, or
`a.tif` for what is `a.jpg` here. Such a row is matched by the end of its path, where only one photograph has that end.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from dr_pipeline.intake.photographs import IMAGE_SUFFIXES, one_spelling, relative_path

_SUFFIXES = IMAGE_SUFFIXES | {".dib", ".jfif", ".jif", ".jpe"}
_SCHEME_OR_DRIVE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//)?")
_NO_FOLDERS = frozenset({"", "/", ".", "..", "~"})


@dataclass(frozen=True)
class MovedPaths:
    """The result for rows that no photograph's own path matches.

    Attributes:
        candidates: By the row's name, the photographs that its end fits; several where it is ambiguous.
        warnings: What was matched so, as sentences for the report.
    """

    candidates: dict[str, list[str]]
    warnings: tuple[str, ...]


def leads_elsewhere(key: str) -> bool:
    """Whether a table's cell is a path that does not start at the data set's root: absolute, a URL, `../…`, `~/…`."""
    path = relative_path(key)
    return path is None or "://" in key or "~" in path.parts[:1]


def match_moved(
    keys: Iterable[str], photographs: Sequence[str], *, all_keys: Collection[str], claimed: Collection[str]
) -> MovedPaths:
    """Matches names by the end of their path, the longest end first.

    An end must be the whole path of a photograph below the root. Only a path that starts elsewhere may also be matched
    by its file name alone, and only if no other row and no other photograph has that name: `P1/left.jpg` must not find
    `P2/left.jpg`. A path under a folder that is here names a file that is missing.

    Args:
        keys: Names, as the table has them, that match no photograph's own path.
        photographs: All photographs of the data set.
        all_keys: All names of the table.
        claimed: Photographs that other rows name by their own path.
    """
    keys = list(dict.fromkeys(keys))
    if not keys:
        return MovedPaths({}, ())
    here = _Photographs(photographs, claimed)
    uses = Counter(_bare_name(key) for key in set(all_keys))
    found: dict[str, list[str]] = {}
    for key in keys:
        elsewhere = leads_elsewhere(key)
        paths = here.by_end(_components(key), must_be_moved=not elsewhere)
        if not paths and uses[_bare_name(key)] == 1 and (elsewhere or "/" not in key.replace("\\", "/")):
            paths = here.by_name(_bare_name(key))
        if paths:
            found[key] = paths
    return MovedPaths(found, _warnings(found))


class _Photographs:
    def __init__(self, photographs: Sequence[str], claimed: Collection[str]) -> None:
        self._by_path: defaultdict[str, list[str]] = defaultdict(list)
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        self._claimed = frozenset(claimed)
        self._folders = {str(folder) for path in photographs for folder in PurePosixPath(one_spelling(path)).parents}
        for path in photographs:
            self._by_path[_bare(path)].append(path)
            self._by_name[_bare_name(path)].append(path)

    def by_end(self, components: Sequence[str], *, must_be_moved: bool) -> list[str]:
        """The unclaimed photographs whose whole path is the longest possible end of a path."""
        for start in range(len(components)):
            folder = one_spelling("/".join(components[:start]))
            if must_be_moved and folder in self._folders:
                return []
            if paths := self._unclaimed(self._by_path, _bare("/".join(components[start:]))):
                return paths
        return []

    def by_name(self, name: str) -> list[str]:
        """The one photograph of this file name, if it is unclaimed."""
        return self._unclaimed(self._by_name, name) if len(self._by_name.get(name, ())) == 1 else []

    def _unclaimed(self, table: defaultdict[str, list[str]], key: str) -> list[str]:
        return [path for path in table.get(key, ()) if path not in self._claimed]


def _warnings(found: dict[str, list[str]]) -> tuple[str, ...]:
    matched = {key: paths[0] for key, paths in found.items() if len(paths) == 1}
    if not matched:
        return ()
    key, path = next(iter(matched.items()))
    return (
        f"{len(matched)} rows name photographs by a folder or a suffix that they do not have here; matched by the end "
        f"of the path, such as {key!r} with {path!r}: check that these are the same photographs",
    )


def _components(key: str) -> list[str]:
    plain = _SCHEME_OR_DRIVE.sub("", key.replace("\\", "/"), count=1) if leads_elsewhere(key) else key
    return [part for part in PurePosixPath(plain.replace("\\", "/")).parts if part not in _NO_FOLDERS]


def _bare(path: str) -> str:
    """Without the suffix of a photograph and what follows it: `A.JPG.bak`, `a.jfif` and `a` are one."""
    folder, slash, name = one_spelling(path.replace("\\", "/")).rpartition("/")
    parts = name.split(".")
    places = [place for place, part in enumerate(parts) if place and f".{part}" in _SUFFIXES]
    return folder + slash + ".".join(parts[: places[0]] if places else parts)


def _bare_name(path: str) -> str:
    return _bare(path).rpartition("/")[2]
