"""Lists the inputs of a run, and says in which order their rows stand."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.folder_rules import FolderRules, describe_counts
from dr_pipeline.scoring.sources.archive import is_archive, list_members
from dr_pipeline.scoring.sources.entry import Entry, count_left_out
from dr_pipeline.scoring.sources.list_file import read_list
from dr_pipeline.scoring.sources.objects import is_address, list_objects, without_secrets
from dr_pipeline.scoring.sources.walk import walk_folder

_ADDRESS_START = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:/+")
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
        sources: Folders, files, archives (zip, tar, compressed tar), addresses such as s3://bucket/folder, and lists:
            `@list.txt` names one path or address a line. A folder whose name begins with `@` is `./@name`.
        rules: What is left out of folders, and whether links that lead out of them are followed.
        leave_out: Resolved paths without an entry (the table being written).

    Raises:
        DataError: There is nothing at a source, it cannot be opened, or one source is part of another.
    """
    _check_overlap(sources)
    for source, label in zip(sources, _labels(sources), strict=True):
        for entry in _entries(source, rules, leave_out):
            if len(sources) == 1:
                yield entry
            else:
                is_itself = entry.location == source and not entry.member
                yield replace(entry, relative=label if is_itself else f"{label}/{entry.relative}")


def _entries(source: str, rules: FolderRules, leave_out: frozenset[Path]) -> Iterator[Entry]:
    if source.startswith("@"):
        return read_list(Path(source[1:]))
    if is_address(source):
        return list_objects(source, rules=rules)
    path = Path(source)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise DataError("there is no such folder or file", where=printable(source), todo="check the path") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be opened: {error}", where=printable(source), todo="check the path") from None
    if stat.S_ISDIR(mode):
        return walk_folder(path, rules=rules, leave_out=leave_out)
    if stat.S_ISREG(mode) and is_archive(path):
        return list_members(path, rules=rules)
    return iter([Entry(path.name, source)])


def _check_overlap(sources: Sequence[str]) -> None:
    """Refuses a folder that is named twice or lies in another one named: its files would have two rows."""
    paths = [
        Path(os.path.realpath(source)) for source in sources if not source.startswith("@") and not is_address(source)
    ]
    times = Counter(paths)
    for path in paths:
        if times[path] > 1 or any(folder in times for folder in path.parents):
            raise DataError(
                "a source is named twice, or lies in another one", where=printable(path), todo="name it once"
            )


def _labels(sources: Sequence[str]) -> list[str]:
    """The shortest ends of the sources' paths, of equal depth, that differ."""
    paths = [_ADDRESS_START.sub("", without_secrets(source.removeprefix("@"))) for source in sources]
    parts = [[part for part in path.replace(os.sep, "/").split("/") if part not in ("", ".")] for path in paths]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        labels = ["/".join(names[-depth:]) for names in parts]
        if len(set(labels)) == len(sources):
            return labels
    raise DataError("two sources have the same path", where=", ".join(map(printable, paths)), todo="name each once")


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
            where=", ".join(map(without_secrets, sources)),
            todo="name the folder with the photographs",
        )
    return entries


def sort_key(relative: str) -> bytes:
    """Orders paths as a walk that enters folders in natural order: `2/x` before `10`, `img2` before `img10`.

    Bytes compare as the lists of texts and numbers would, so that a database can sort them on disk. Case decides only
    between names that are otherwise equal.
    """
    folder, slash, name = relative.rpartition("/")
    return _folder_key(folder) + _part_key(name) if slash else _part_key(name)


@lru_cache(maxsize=1000)
def _folder_key(folder: str) -> bytes:
    return sort_key(folder)


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
    return encoded.replace(b"\2", _ESCAPE + b"\3").replace(b"\1", _ESCAPE + b"\2").replace(b"\0", _ESCAPE + b"\1")
