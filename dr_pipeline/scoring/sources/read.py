"""Reads the bytes of an entry, wherever it is."""

from pathlib import Path

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import read_image_file
from dr_pipeline.scoring.sources.archive import read_member
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.objects import is_address, read_object


def read_entry(entry: Entry) -> bytes:
    """The file's bytes.

    Raises:
        ImageError: It has a problem, is missing, no regular file, too large, changes while it is read, or cannot be
            read.
    """
    if entry.problem:
        raise ImageError(entry.problem)
    if is_address(entry.location):
        return read_object(entry.location, entry.member)
    if entry.member:
        return read_member(Path(entry.location), entry.member)
    return read_image_file(Path(entry.location))
