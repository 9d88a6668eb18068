"""Lets the MLflow store of a moved repository find its artifacts: MLflow keeps absolute paths of them.

Does not import MLflow, which has no call for this; the tables are those of its SQL store.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

_ARTIFACTS = "mlruns"
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_log = logging.getLogger(__name__)


def follow_repository(database: Path, root: Path) -> int:
    """Rewrites the places of artifacts in a store whose repository was moved, renamed or copied.

    A place is moved where the artifacts lie under `root` now, or no longer lie where the store has them. Others are
    left alone: a user may keep artifacts elsewhere.

    Args:
        database: The SQLite file; a missing one is left missing.
        root: The repository, in which `mlruns` lies.

    Returns:
        Number of places rewritten.
    """
    if not database.is_file():
        return 0
    here = root.resolve() / _ARTIFACTS
    with closing(sqlite3.connect(database)) as connection, connection:
        places = [place for place in _PLACES if _exists(connection, *place)]
        changed = sum(
            _rewrite(connection, table, column, old, new)
            for there in sorted(_former_folders(connection, here))
            for old, new in ((str(there), str(here)), (there.as_uri(), here.as_uri()))
            for table, column in places
        )
    if changed:
        _log.info("the repository was moved: MLflow now finds the artifacts of its runs in %s", here)
    return changed


def _former_folders(connection: sqlite3.Connection, here: Path) -> set[Path]:
    """The folders of artifacts of this repository's former places, by the store's experiments."""
    if not _exists(connection, *_PLACES[0]):
        return set()
    return {
        folder.parent
        for folder in _experiment_folders(connection)
        if folder.parent.name == _ARTIFACTS
        and folder.parent != here
        and ((here / folder.name).is_dir() or not folder.is_dir())
    }


def _experiment_folders(connection: sqlite3.Connection) -> Iterator[Path]:
    for name, location in connection.execute("SELECT name, artifact_location FROM experiments"):
        folder = _local_path(location or "")
        if folder is not None and folder.name == name:  # as store.py makes them
            yield folder


def _local_path(location: str) -> Path | None:
    """The folder of a file URI or of an absolute path; None for a bucket and the like."""
    parts = urlsplit(location)
    if parts.scheme not in ("", "file") or not parts.path.startswith("/"):
        return None
    return Path(url2pathname(parts.path) if parts.scheme else location)


def _exists(connection: sqlite3.Connection, table: str, column: str) -> bool:
    """Whether the store, which may be of another version of MLflow, has the column."""
    return any(row[1] == column for row in connection.execute(f"PRAGMA table_info({table})"))


def _rewrite(connection: sqlite3.Connection, table: str, column: str, old: str, new: str) -> int:
    """Replaces a folder at the beginning of a column's values; the names are constants of this module."""
    statement = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"  # noqa: S608
    length = len(old) + 1
    return connection.execute(statement, (new, length, length, f"{old}/")).rowcount
