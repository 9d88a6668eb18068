"""Standard output and standard error that never fail: a message is no result and does not decide the exit code.

A table can be whole and its headline still not be printable: the terminal knows Latin-1 only, the pipe's reader has
gone, the log's disk is full, the terminal was closed. Python would raise, or end with exit code 120.
"""

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_REPLACEMENT = "dr_pipeline.plain_signs"
# Signs in this program's own messages, and what stands for them where the terminal's encoding lacks them.
_PLAIN = {
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "→": "->",
    "×": "x",
    "·": "*",
    "≤": "<=",
    "≥": ">=",
    "±": "+/-",
    "’": "'",
    "“": '"',
    "”": '"',
}


def never_fail() -> None:
    """Replaces `sys.stdout` and `sys.stderr` by streams on the same files whose writing cannot fail.

    For the program, not for a caller's process: a stream that is no file of this process, such as a notebook's, is
    left as it is.
    """
    codecs.register_error(_REPLACEMENT, plain_signs)
    sys.stdout, sys.stderr = _lenient(sys.stdout, 1), _lenient(sys.stderr, 2)


def plain_signs(error: UnicodeError) -> tuple[str, int]:
    r"""Error handler of `codecs`: a sign without a plain form becomes its number, such as \u03ba."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(_PLAIN.get(s, s.encode("ascii", "backslashreplace").decode("ascii")) for s in signs), error.end


class _LenientFile(io.FileIO):
    """A file that takes what it cannot write as written."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            written = super().write(data)
        except OSError:  # nobody reads it, or there is no room: there is no one to report that to
            written = None
        return memoryview(data).nbytes if written is None else written


def _lenient(stream: TextIO | None, number: int) -> TextIO:
    """The stream's replacement; `number` is the descriptor that programs write to, whatever the stream is."""
    if stream is None:  # closed by the caller, as by `>&-`: the next file to be opened would get the messages
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        if null != number:
            os.close(null)
        return _on(number, "utf-8")
    try:
        return _on(stream.fileno(), stream.encoding)
    except (OSError, ValueError):
        return stream


def _on(descriptor: int, encoding: str) -> TextIO:
    file = io.BufferedWriter(_LenientFile(descriptor, "w", closefd=False))
    return io.TextIOWrapper(file, encoding=encoding, errors=_REPLACEMENT, line_buffering=True)
