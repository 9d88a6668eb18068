"""Lists the inputs of a run, and says in which order their rows stand."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.folder_rules import FolderRules, describe_counts
from dr_pipeline.scoring.sources.entry import Entry, count_left_out
from dr_pipeline.scoring.sources.walk import walk_folder

_DIGITS = re.compile(r"([0-9]+)")
# Bytes of sort keys, in their order: the end of a part, a number follows, a text's byte below 3 follows.
_END, _NUMBER, _ESCAPE = b"\0", b"\1", b"\2"


def iter_entries(
    sources: Sequence[str],
    *,
    rules: FolderRules = FolderRules(),  # noqa: B008 - frozen
    leave_out: frozenset[Path] = frozenset(),
) -> Iterator[Entry]:
    """Lists every input once, in any order, a folder of a million files in bounded memory.

    Args:
        sources: Folders and files.
        rules: What is left out of folders, and whether links that lead out of them are followed.
        leave_out: Resolved paths without an entry (the table being written).

    Raises:
        DataError: There is nothing at a source, or it cannot be opened.
    """
    for source in sources:
        yield from _entries(source, rules, leave_out)


def _entries(source: str, rules: FolderRules, leave_out: frozenset[Path]) -> Iterator[Entry]:
    path = Path(source)
    if path.is_file():
        yield Entry(path.name, source)
    elif path.is_dir():
        yield from walk_folder(path, rules=rules, leave_out=leave_out)
    else:
        raise DataError("there is no such folder or file", where=source, todo="check the path")


def list_entries(
    sources: Sequence[str],
    *,
    rules: FolderRules = FolderRules(),  # noqa: B008 - frozen
    leave_out: frozenset[Path] = frozenset(),
) -> list[Entry]:
    """The entries in the order of their rows, for a listing that fits into memory; arguments are `iter_entries`'s.

    Raises:
        DataError: As `iter_entries`; or there is no file in the sources.
    """
    entries = sorted(
        iter_entries(sources, rules=rules, leave_out=leave_out), key=lambda entry: sort_key(entry.relative)
    )
    if all(entry.left_out for entry in entries):
        counts = describe_counts(count_left_out(entries))
        raise DataError(
            f"there are no files to score{f' but {counts}' if counts else ''}",
            where=", ".join(sources),
            todo="name the folder with the photographs",
        )
    return entries


def sort_key(relative: str) -> bytes:
    """Orders paths as a walk that enters folders in natural order: `2/x` before `10`, `img2` before `img10`.

    Bytes compare as the lists of texts and numbers would, so that a database can sort them on disk. Case decides only
    between names that are otherwise equal.
    """
    return b"".join(_part_key(part) for part in relative.split("/"))


def _part_key(name: str) -> bytes:
    """The name's texts and numbers in turn, then, for names that are equal so far, the name itself."""
    pieces = _DIGITS.split(name.casefold())
    key = [_text_key(pieces[0])]
    for digits, text in zip(pieces[1::2], pieces[2::2], strict=True):
        number = digits.lstrip("0").encode()
        key += [_NUMBER, len(number).to_bytes(4, "big"), number, _text_key(text)]
    return b"".join([*key, _END, _text_key(name), _END])


def _text_key(text: str) -> bytes:
    """UTF-8, whose bytes are in the order of the characters; the three lowest are written as two bytes."""
    encoded = text.encode("utf-8", "surrogatepass")
    if min(encoded, default=3) > 2:
        return encoded
    return b"".join(_ESCAPE + bytes([byte + 1]) if byte < 3 else bytes([byte]) for byte in encoded)
