"""The list of cameras that a programme allows: a text file, one name a line."""

from pathlib import Path

from dr_pipeline.errors import DataError


def read_cameras(path: Path) -> frozenset[str]:
    """The names, as predictions.csv has them in its column `camera`; blank lines and lines that begin with # are none.

    Raises:
        DataError: The file cannot be read, or names no camera.
    """
    try:
        lines = [" ".join(line.split()) for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the list of cameras cannot be read: {error}", where=str(path)) from None
    names = frozenset(line for line in lines if line and not line.startswith("#"))
    if not names:
        raise DataError("the list names no camera", where=str(path), todo="write one name a line, as the column camera")
    return names
