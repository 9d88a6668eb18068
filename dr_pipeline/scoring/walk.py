"""Lists a clinic's folder: every file once, in natural order, whatever its name or fault.

What is no part of the photographs by its name, such as a file server's thumbnails, is listed as left out.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.folder_rules import FolderRules, count_files, describe_counts

# Folders inside folders: no clinic's are deeper, and Python's recursion limit is about a thousand.
_MAX_DEPTH = 200


@dataclass(frozen=True)
class Entry:
    """One entry of the folder, which gets one row unless it is left out.

    Attributes:
        path: Where it is.
        relative: The same, relative to the scored folder, with forward slashes; bytes that are not UTF-8 as surrogates.
        problem: Why it cannot be read, where listing finds that out; else empty.
        left_out: Why it gets no row, a kind of `folder_rules`; else empty. A folder left out stands for its files.
        files: How many files it stands for.
    """

    path: Path
    relative: str
    problem: str = ""
    left_out: str = ""
    files: int = 1


def list_entries(
    source: Path,
    *,
    leave_out: frozenset[Path] = frozenset(),
    rules: FolderRules = FolderRules(),  # noqa: B008 - frozen
) -> list[Entry]:
    """Lists every file under `source`, or `source` itself if it is a file; numbers in names sort as numbers.

    Links inside `source` are followed. A link that leads out of it (unless the rules say otherwise) or back into a
    folder above it, a folder that cannot be opened or lies too deep, a broken link, a socket and the like are entries
    with a problem: nothing is skipped silently.

    Args:
        source: A folder, or one file.
        leave_out: Resolved paths without an entry (the table being written).
        rules: What is left out, and whether links that lead out of `source` are followed.

    Raises:
        DataError: There is nothing at `source`, or no file in it.
    """
    if source.is_file():
        return [Entry(source, source.name)]
    if not source.is_dir():
        raise DataError("there is no such folder", where=str(source), todo="check the path")
    # What cannot be opened is not resolved: a link to itself has no end.
    entries = [
        entry
        for entry in _Walk(source.resolve(), rules).entries(source, "", ())
        if entry.problem or entry.left_out or not leave_out or entry.path.resolve() not in leave_out
    ]
    if entries and entries[0].path == source:
        raise DataError(entries[0].problem, where=str(source), todo="ask its owner for the right to read it")
    if all(entry.left_out for entry in entries):
        counts = describe_counts(count_left_out(entries))
        raise DataError(
            f"the folder holds no files{f' but {counts}' if counts else ''}",
            where=str(source),
            todo="name the folder with the photographs",
        )
    return entries


def count_left_out(entries: Iterable[Entry]) -> dict[str, int]:
    """Files without a row, by why they have none."""
    counts = Counter[str]()
    for entry in entries:
        counts[entry.left_out] += entry.files
    del counts[""]
    return dict(counts)


@dataclass(frozen=True)
class _Walk:
    """A walk below `root`, a path without links."""

    root: Path
    rules: FolderRules

    def entries(self, folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
        try:
            status = folder.stat()
            with os.scandir(folder) as listing:
                found = sorted(listing, key=lambda entry: _natural(entry.name))
        except OSError as error:
            yield Entry(folder, prefix.rstrip("/"), f"folder cannot be opened: {error.strerror}")
            return
        here = (*above, (status.st_dev, status.st_ino))
        for item in found:
            path, relative = folder / item.name, prefix + item.name
            if left_out := self.rules.left_out(relative):
                is_folder = item.is_dir(follow_symlinks=False)
                yield Entry(path, relative, left_out=left_out, files=count_files(path) if is_folder else 1)
                continue
            try:
                target = item.stat()
            except OSError as error:
                kind = "broken link" if item.is_symlink() else "cannot be opened"
                yield Entry(path, relative, f"{kind}: {error.strerror}")
                continue
            if not stat.S_ISDIR(target.st_mode) and not stat.S_ISREG(target.st_mode):
                yield Entry(path, relative, "not a regular file")
            elif stat.S_ISDIR(target.st_mode) and (target.st_dev, target.st_ino) in here:
                yield Entry(path, relative, "link to a folder above it")
            elif item.is_symlink() and self.rules.leads_out(path, self.root):
                yield Entry(path, relative, "link out of the folder, not followed (see --follow-links)")
            elif stat.S_ISREG(target.st_mode):
                yield Entry(path, relative)
            elif len(here) > _MAX_DEPTH:
                yield Entry(path, relative, f"folder not opened: it lies more than {_MAX_DEPTH} folders deep")
            else:
                yield from self.entries(path, f"{relative}/", here)


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sorts img2 before img10; the name itself breaks ties."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)], name
