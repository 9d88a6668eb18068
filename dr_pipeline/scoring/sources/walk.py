"""Walks a folder: every file once, whatever its name or fault, in the order of the disk and in bounded memory.

What is no part of the photographs by its name, such as a file server's thumbnails, is listed as left out.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.folder_rules import FolderRules, count_files
from dr_pipeline.scoring.sources.entry import Entry

# Folders inside folders: no clinic's are deeper, and Python's recursion limit is about a thousand.
_MAX_DEPTH = 200


def walk_folder(
    folder: Path,
    *,
    rules: FolderRules = FolderRules(),  # noqa: B008 - frozen
    leave_out: frozenset[Path] = frozenset(),
) -> Iterator[Entry]:
    """Lists every file under a folder.

    Links inside it are followed. A link that leads out of it (unless the rules say otherwise) or back into a folder
    above it, a folder that cannot be opened or lies too deep, a broken link, a socket and the like are entries with a
    problem: nothing is skipped silently.

    Args:
        folder: Where the walk starts; may itself be a link.
        rules: What is left out, and whether links that lead out of the folder are followed.
        leave_out: Resolved paths without an entry (the table being written).

    Raises:
        DataError: The folder itself cannot be opened.
    """
    names = frozenset(path.name for path in leave_out)
    for entry in Walk(folder.resolve(), rules, leave_out, names).entries(str(folder), "", ()):
        if not entry.relative:
            raise DataError(entry.problem, where=str(folder), todo="ask its owner for the right to read it")
        yield entry


@dataclass(frozen=True)
class Walk:
    """A walk below `root`, a path without links."""

    root: Path
    rules: FolderRules
    leave_out: frozenset[Path]
    leave_out_names: frozenset[str]

    def entries(self, folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
        """The entries of a folder and of those in it.

        Args:
            folder: Where it is.
            prefix: Its relative path with a slash at the end; empty for the first.
            above: Device and inode of the folders above it.
        """
        try:
            status = os.stat(folder)  # noqa: PTH116 - a Path per file takes longer than its whole listing
            with os.scandir(folder) as listing:
                here = (*above, (status.st_dev, status.st_ino))
                for item in listing:
                    yield from self._entry(item, prefix + item.name, here)
        except OSError as error:
            yield Entry(prefix.rstrip("/"), folder, f"folder cannot be opened: {error.strerror}")

    def _entry(self, item: os.DirEntry[str], relative: str, here: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
        if left_out := self.rules.left_out(relative):
            files = count_files(Path(item.path)) if item.is_dir(follow_symlinks=False) else 1
            yield Entry(relative, item.path, left_out=left_out, files=files)
        elif item.is_file(follow_symlinks=False):
            if item.name not in self.leave_out_names or Path(item.path).resolve() not in self.leave_out:
                yield Entry(relative, item.path)
        else:
            yield from self._other(item, relative, here)

    def _other(self, item: os.DirEntry[str], relative: str, here: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
        """A folder, a link, or what is neither."""
        try:
            target = item.stat()
        except OSError as error:
            kind = "broken link" if item.is_symlink() else "cannot be opened"
            yield Entry(relative, item.path, f"{kind}: {error.strerror}")
            return
        is_folder = stat.S_ISDIR(target.st_mode)
        if not is_folder and not stat.S_ISREG(target.st_mode):
            yield Entry(relative, item.path, "not a regular file")
        elif is_folder and (target.st_dev, target.st_ino) in here:
            yield Entry(relative, item.path, "link to a folder above it")
        elif item.is_symlink() and self.rules.leads_out(Path(item.path), self.root):
            yield Entry(relative, item.path, "link out of the folder, not followed (see --follow-links)")
        elif not is_folder:
            if Path(item.path).resolve() not in self.leave_out:
                yield Entry(relative, item.path)
        elif len(here) > _MAX_DEPTH:
            yield Entry(relative, item.path, f"folder not opened: it lies more than {_MAX_DEPTH} folders deep")
        else:
            yield from self.entries(item.path, f"{relative}/", here)
