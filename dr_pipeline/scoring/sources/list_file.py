"""Lists the files and addresses that a text file names, one a line."""

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.objects import is_address, without_secrets

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_list(path: Path) -> Iterator[Entry]:
    """Lists what a text file names, without looking whether it is there: what is missing fails when it is read.

    Args:
        path: One path or address a line, paths relative to the list's folder; blank lines have no entry. Names may have
            any encoding; a list in UTF-16, as PowerShell writes it, is recognised.

    Raises:
        DataError: The list cannot be read.
    """
    try:
        with path.open("rb") as stream:
            encoding = "utf-16" if stream.read(2) in _UTF16 else "utf-8-sig"
        with path.open(encoding=encoding, errors="surrogateescape") as lines:
            for line in lines:
                if text := line.rstrip("\n"):
                    yield _entry(text, path.parent)
    except OSError as error:
        raise DataError(f"the list cannot be read: {error.strerror}", where=printable(path)) from None
    except UnicodeError:
        raise DataError("the list is not text", where=printable(path), todo="save it as UTF-8") from None


def _entry(text: str, folder: Path) -> Entry:
    if is_address(text):
        return Entry(without_secrets(text), text)
    return Entry(text.replace(os.sep, "/").removeprefix("./"), os.path.join(folder, text))  # noqa: PTH118 - many lines
