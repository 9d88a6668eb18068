"""Reads the bytes of an entry, wherever it is."""

from pathlib import Path

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import read_image_file
from dr_pipeline.scoring.sources.entry import Entry


def read_entry(entry: Entry) -> bytes:
    """The file's bytes.

    Raises:
        ImageError: It has a problem, is missing, no regular file, too large, changes while it is read, or cannot be
            read.
    """
    if entry.problem:
        raise ImageError(entry.problem)
    return read_image_file(Path(entry.location))
