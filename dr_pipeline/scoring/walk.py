"""Lists a clinic's folder: every file once, in natural order, whatever its name or fault."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.errors import DataError

# Folders inside folders: no clinic's are deeper, and Python's recursion limit is about a thousand.
_MAX_DEPTH = 200


@dataclass(frozen=True)
class Entry:
    """One entry of the folder, which gets one row.

    Attributes:
        path: Where it is.
        relative: The same, relative to the scored folder, with forward slashes; bytes that are not UTF-8 as surrogates.
        problem: Why it cannot be read, where listing finds that out; else empty.
    """

    path: Path
    relative: str
    problem: str = ""


def list_entries(source: Path, *, leave_out: frozenset[Path] = frozenset()) -> list[Entry]:
    """Lists every file under `source`, or `source` itself if it is a file; numbers in names sort as numbers.

    Links are followed. A link that leads back into a folder above it, a folder that cannot be opened or lies too deep,
    a broken link, a socket and the like are entries with a problem: nothing is skipped silently.

    Args:
        source: A folder, or one file.
        leave_out: Resolved paths without an entry (the table being written).

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
        for entry in _walk(source, "", ())
        if entry.problem or not leave_out or entry.path.resolve() not in leave_out
    ]
    if entries and entries[0].path == source:
        raise DataError(entries[0].problem, where=str(source), todo="ask its owner for the right to read it")
    if not entries:
        raise DataError("the folder holds no files", where=str(source), todo="name the folder with the photographs")
    return entries


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
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
        try:
            target = item.stat()
        except OSError as error:
            kind = "broken link" if item.is_symlink() else "cannot be opened"
            yield Entry(path, relative, f"{kind}: {error.strerror}")
            continue
        if stat.S_ISDIR(target.st_mode):
            if (target.st_dev, target.st_ino) in here:
                yield Entry(path, relative, "link to a folder above it")
            elif len(here) > _MAX_DEPTH:
                yield Entry(path, relative, f"folder not opened: it lies more than {_MAX_DEPTH} folders deep")
            else:
                yield from _walk(path, f"{relative}/", here)
        elif stat.S_ISREG(target.st_mode):
            yield Entry(path, relative)
        else:
            yield Entry(path, relative, "not a regular file")


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sorts img2 before img10; the name itself breaks ties."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)], name
