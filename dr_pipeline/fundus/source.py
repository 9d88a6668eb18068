"""Reads a photograph's file as bytes, with a reason where that is not possible."""

import stat
from pathlib import Path

from dr_pipeline.errors import ImageError

# 200 megapixels of 16-bit RGB, uncompressed, with room for metadata.
MAX_FILE_BYTES = 1_300_000_000


def read_file(path: Path) -> bytes:
    """Reads a whole file.

    Raises:
        ImageError: It is missing, no regular file (a pipe would block for ever), too large, or cannot be read.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ImageError("not a regular file", where=str(path))
        if facts.st_size > MAX_FILE_BYTES:
            raise ImageError(f"{facts.st_size / 1e9:.1f} GB is too large for a photograph", where=str(path))
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError("the file is missing", where=str(path)) from None
    except OSError as error:
        raise ImageError(f"the file cannot be read: {error.strerror}", where=str(path)) from None
