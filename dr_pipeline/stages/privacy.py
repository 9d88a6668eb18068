"""Photographs and ids stay with their owner: DVC makes each output readable for all, so that folders are closed."""

import os
import stat
from pathlib import Path

# Below the repository's root: tables, canvases and pages; DVC's copies of them; what a training decoded.
FOLDERS = ("data", ".dvc/cache", ".scratch")


def close_folders(root: Path) -> None:
    """Lets only their owner enter the folders of a repository that hold photographs and ids.

    A folder of another user, or one that a group shares on purpose (with the set-group-ID bit, as DVC's `cache.shared
    group` makes it), is left as it is.
    """
    for folder in (root / name for name in FOLDERS):
        if folder.is_dir():
            status = folder.stat()
            shared = status.st_mode & stat.S_ISGID or status.st_uid != os.geteuid()
            if not shared and status.st_mode & 0o077:
                folder.chmod(0o700)
