"""What in a folder is no part of a data set, and whether links that lead out of it are followed.

Operating systems, file servers, cloud clients and office programs leave files of their own beside the photographs:
thumbnails, deleted files, snapshots, locks. Some are sound JPEGs of the same photographs. Intake, scoring and the
reader of bundles leave them out by one list of names, and count them.
"""

import fnmatch
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# Why an entry is left out; the words stand in reports and headlines.
SYSTEM_FILES = "system files"
IGNORED_FILES = "ignored files"

# File and folder names, in any case; `*` and `?` as in a shell. The maker is named where the name does not say it.
SYSTEM_NAMES = (
    # macOS, and what it writes to the disks of others
    *("._*", ".DS_Store", "__MACOSX", ".AppleDB", ".AppleDesktop", ".AppleDouble", ".DocumentRevisions-V100"),
    *(".Spotlight-V100", ".TemporaryItems", ".Trashes", ".VolumeIcon.icns", ".apdisk", ".com.apple.*", ".fseventsd"),
    *(".localized", "Desktop DB", "Desktop DF", "Icon\r", "Icon\uf00d", "Network Trash Folder", "Temporary Items"),
    # Windows
    *("$RECYCLE.BIN", "RECYCLED", "RECYCLER", "System Volume Information", "FOUND.[0-9][0-9][0-9]", "DfsrPrivate"),
    *("Thumbs.db", "Thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "*:Zone.Identifier"),
    # Linux and Unix; .Trash-1000 is the desktop's trash, .nfs* and .fuse_hidden* are deleted files still open
    *("lost+found", ".Trash", ".Trash-*", ".nfs*", ".fuse_hidden*", ".directory", ".thumbnails", ".xvpics"),
    # Android's deleted and unfinished pictures
    *(".trashed-*", ".pending-*"),
    # Synology
    *("@eaDir", "#recycle", "#snapshot", "@tmp", "@sharebin", "*@SynoEAStream", "*@SynoResource", "SYNO*_THUMB_*"),
    # QNAP, Western Digital, Samba and other file servers; .zfs and .snapshot are earlier states of the whole folder
    *("@Recycle", "@Recently-Snapshot", ".@__thumb", ".@__qini", ".streams", ".wdmc", ".twonkymedia*"),
    *(
        ".recycle",
        ".Recycle.Bin",
        "Network Recycle Bin*",
        ".snapshot",
        ".snapshots",
        "~snapshot",
        ".zfs",
        ".smbdelete*",
    ),
    # Locks of Microsoft Office and LibreOffice
    *("~$*", ".~lock.*"),
    # Cloud clients: Dropbox, Syncthing, Resilio, Google Drive
    *(".dropbox", ".dropbox.*", ".stfolder", ".stversions", ".sync", ".tmp.drivedownload", ".tmp.driveupload"),
    # Viewers: Picasa and its originals, Adobe Bridge
    *("Picasa.ini", ".picasa.ini", ".picasaoriginals", ".BridgeCache*", ".BridgeSort", ".BridgeLabelsAndRatings"),
    # Version control and notebooks
    *(".git", ".hg", ".svn", ".dvc", ".ipynb_checkpoints", "__pycache__"),
)


def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern.casefold()) for pattern in patterns))


_HAS_WILDCARDS = re.compile(r"[*?\[]")
_PLAIN_NAMES = frozenset(name.casefold() for name in SYSTEM_NAMES if not _HAS_WILDCARDS.search(name))
_PATTERNS = _any_of(tuple(name for name in SYSTEM_NAMES if _HAS_WILDCARDS.search(name)))


def is_system_name(name: str) -> bool:
    """Whether a file or folder of this name, without its path, is a system's or a program's own."""
    folded = name.casefold()
    return folded in _PLAIN_NAMES or _PATTERNS.match(folded) is not None


@dataclass(frozen=True)
class FolderRules:
    """What is left out of a folder.

    Attributes:
        ignore: Patterns as in a shell, in any case, for a name (`thumb_*`, `backup`) or a path below the folder
            (`2019/*`, where `*` also stands for slashes); an ignored folder is ignored with everything in it.
        follow_links: Whether a link whose target is outside the folder is followed.
    """

    ignore: tuple[str, ...] = ()
    follow_links: bool = False

    def left_out(self, relative: str) -> str:
        """Why this entry, and everything in it, is left out: one of the kinds above; "" where it is not.

        Args:
            relative: Path below the folder with forward slashes; the entry's own name is last.
        """
        name = relative.rpartition("/")[2]
        if is_system_name(name):
            return SYSTEM_FILES
        ignored = self.ignore and any(self._ignored.match(text.casefold()) for text in (name, relative))
        return IGNORED_FILES if ignored else ""

    def left_out_on_the_way(self, relative: str) -> str:
        """Why this entry or a folder above it is left out; for listings that do not enter folders one by one."""
        parts = relative.split("/")
        ways = ("/".join(parts[: end + 1]) for end in range(len(parts)))
        return next(filter(None, map(self.left_out, ways)), "")

    @cached_property
    def _ignored(self) -> re.Pattern[str]:
        return _any_of(self.ignore)

    def leads_out(self, link: Path, root: Path) -> bool:
        """Whether this link's target is outside `root` and must not be followed.

        Args:
            link: A symbolic link that has a target.
            root: The folder, without links in its own path (`Path.resolve`).
        """
        return not self.follow_links and not Path(os.path.realpath(link)).is_relative_to(root)


def count_files(folder: Path) -> int:
    """Number of files in a folder that is left out; a link, or a folder that cannot be opened, counts as one."""
    closed: list[OSError] = []
    count = 0
    for here, folders, files in os.walk(folder, onerror=closed.append):
        count += len(files) + sum((Path(here) / name).is_symlink() for name in folders)
    return count + len(closed)


def describe_counts(counts: Mapping[str, int]) -> str:
    """`75 system files, 2 text`: counts by kind in words, the largest first."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
