"""One input of a run, as it is listed, stored and read."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One input, which gets one row unless it is left out.

    Attributes:
        relative: What the row's `path` shows: the path below its source with forward slashes, below the source's name
            where there are several; bytes that are not UTF-8 as surrogates.
        location: Where it is read: a file's path, an archive's path, or an address such as s3://bucket/folder.
        problem: Why it cannot be read, where listing finds that out; else empty.
        left_out: Why it gets no row, a kind of `folder_rules`; else empty. A folder left out stands for its files.
        files: How many files it stands for.
        member: The member of the archive, or the object's path in the store; else empty.
    """

    relative: str
    location: str
    problem: str = ""
    left_out: str = ""
    files: int = 1
    member: str = ""


def count_left_out(entries: Iterable[Entry]) -> dict[str, int]:
    """Files without a row, by why they have none."""
    counts = Counter[str]()
    for entry in entries:
        counts[entry.left_out] += entry.files
    del counts[""]
    return dict(counts)
