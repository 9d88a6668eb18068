"""Finds the files that arrive in a folder, by polling, since network drives report no events.

A folder is read again only when its time of change moves, and for a few seconds after: within one tick of the file
server's clock, a file can come after the folder was read without moving it. Every minute all is read again, which also
finds files that were changed in place.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.listing import sort_key
from dr_pipeline.scoring.sources.walk import Walk

# The coarsest clock of a file system is FAT's, 2 s.
_READ_AGAIN_S = 3.0
_READ_ALL_S = 60.0
# A file is complete when it did not change for so long; what cannot be read may only be late on a network drive.
_SETTLED_S = 1.0
_PROBLEM_SETTLED_S = 10.0
# One that is open for writing waits, but not for ever.
_MAX_OPEN_S = 60.0

_MISSING = "missing"


@dataclass
class _Waiting:
    """A file that has not settled: its signature, and since when it is the same."""

    entry: Entry
    signature: str
    since_s: float


@dataclass
class _Folder:
    """A folder that was read: where it is in the walk, its time of change, and when that was first seen."""

    prefix: str
    above: tuple[tuple[int, int], ...]
    changed_ns: int | None = None
    since_s: float = float("-inf")

    def is_due(self, changed_ns: int | None, now_s: float) -> bool:
        """Whether it is to be read, by its time of change now."""
        if changed_ns != self.changed_ns:
            self.changed_ns, self.since_s = changed_ns, now_s
        return now_s - self.since_s <= _READ_AGAIN_S


class Arrivals:
    """The files of a folder, each once when it is complete, and again when it was changed since.

    Args:
        folder: Watched with its sub-folders.
        rules: What is left out, and whether links that lead out of the folder are followed.
        leave_out: Resolved paths that are no arrivals (the table being written).
        known: Signature of each file that was reported before, by its relative path.
    """

    def __init__(self, folder: Path, *, rules: FolderRules, leave_out: frozenset[Path], known: dict[str, str]) -> None:
        self._root, self._known = str(folder), known
        self._walk = _FolderByFolder(folder.resolve(), rules, leave_out, frozenset(path.name for path in leave_out))
        self._walk.folders[self._root] = _Folder("", ())
        self._waiting: dict[str, _Waiting] = {}
        self._all_read_s = float("-inf")

    def poll(self, now_s: float) -> list[tuple[Entry, str]]:
        """The files that are complete by now, with their signatures, in the order of a listing.

        Args:
            now_s: A clock that never goes back, in seconds.

        Raises:
            DataError: The folder itself cannot be opened.
        """
        for entry in self._read(now_s):
            if not entry.relative:
                raise DataError(entry.problem, where=entry.location, todo="make the folder readable again")
            if not entry.left_out:
                self._notice(entry, now_s)
        return self._settled(now_s)

    def _read(self, now_s: float) -> Iterator[Entry]:
        """The entries of the folders that are to be read now; a folder that is found is read at once."""
        folders = self._walk.folders
        if read_all := now_s - self._all_read_s >= _READ_ALL_S:
            self._all_read_s = now_s
        done = 0
        while paths := list(folders)[done:]:
            for path in paths:
                changed_ns = _changed_ns(path)
                if changed_ns is None and path != self._root:  # found again in the folder above it, if it comes again
                    del folders[path]
                    continue
                done += 1
                if folders[path].is_due(changed_ns, now_s) or read_all or changed_ns is None:
                    yield from self._walk.read(path)

    def _notice(self, entry: Entry, now_s: float) -> None:
        signature = _signature(entry)
        waiting = self._waiting.get(entry.relative)
        if signature != self._known.get(entry.relative) and (waiting is None or waiting.signature != signature):
            self._waiting[entry.relative] = _Waiting(entry, signature, now_s)

    def _settled(self, now_s: float) -> list[tuple[Entry, str]]:
        """Takes from those that wait what is complete."""
        quiet = []
        for relative, waiting in list(self._waiting.items()):
            signature = _signature(waiting.entry)
            if signature == _MISSING:
                del self._waiting[relative]
            elif signature != waiting.signature:
                self._waiting[relative] = _Waiting(waiting.entry, signature, now_s)
            elif now_s - waiting.since_s >= (_PROBLEM_SETTLED_S if waiting.entry.problem else _SETTLED_S):
                quiet.append(waiting)
        in_work = _open_for_writing() if quiet else frozenset()
        ready = []
        for waiting in sorted(quiet, key=lambda each: sort_key(each.entry.relative)):
            if now_s - waiting.since_s < _MAX_OPEN_S and _identity(waiting.entry.location) in in_work:
                continue
            del self._waiting[waiting.entry.relative]
            self._known[waiting.entry.relative] = waiting.signature
            ready.append((waiting.entry, waiting.signature))
        return ready


@dataclass(frozen=True)
class _FolderByFolder(Walk):
    """A walk that reads one folder at a time and registers those that it finds in it."""

    folders: dict[str, _Folder] = field(default_factory=dict)

    def entries(self, folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
        """Where the walk would enter a folder."""
        self.folders.setdefault(folder, _Folder(prefix, above))
        return iter(())

    def read(self, folder: str) -> Iterator[Entry]:
        """The entries of one folder, without those of the folders in it."""
        registered = self.folders[folder]
        return super().entries(folder, registered.prefix, registered.above)


def _changed_ns(folder: str) -> int | None:
    """The folder's time of change; None where it cannot be reached."""
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 - called for every folder, several times a second
    except OSError:
        return None


def _signature(entry: Entry) -> str:
    """What changes when the file does."""
    try:
        status = os.lstat(entry.location) if entry.problem else os.stat(entry.location)  # noqa: PTH116
    except OSError:
        return _MISSING
    return f"{status.st_size} {status.st_mtime_ns} {entry.problem}"


def _identity(location: str) -> tuple[int, int]:
    try:
        status = os.stat(location)  # noqa: PTH116
    except OSError:
        return (0, 0)
    return (status.st_dev, status.st_ino)


def _open_for_writing() -> frozenset[tuple[int, int]]:
    """Device and inode of the files that processes of this machine write, as far as this user may see them (Linux)."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            for handle in os.scandir(process / "fdinfo"):
                with suppress(OSError, ValueError, IndexError):
                    flags = int(Path(handle.path).read_text().split("flags:")[1].split()[0], 8)
                    if flags & os.O_ACCMODE != os.O_RDONLY:
                        status = os.stat(process / "fd" / handle.name)  # noqa: PTH116
                        found.add((status.st_dev, status.st_ino))
    return frozenset(found)
