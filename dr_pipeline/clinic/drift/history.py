"""The history of batches: one JSON line per batch, only ever added to; only its owner may read it."""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dr_pipeline.clinic.drift.compare import Drift, Verdict
from dr_pipeline.errors import DataError
from dr_pipeline.files import make_private_folder, printable

VERSION = 1


@dataclass(frozen=True)
class Measured:
    """One measure of a whole batch: its median or rate, the size of its change, the verdict."""

    value: float
    effect: float
    verdict: Verdict


@dataclass(frozen=True)
class Entry:
    """One batch.

    Attributes:
        time: When it was compared, UTC.
        name: For people.
        sha256: Of its table; with the bundle it identifies the batch.
        bundle_id: That scored it.
        photographs: In the comparison.
        verdict: Of the whole batch, its cameras and sites included.
        unknown_cameras: Photographs of cameras that are not allowed.
        measures: Each measure of the whole batch.
    """

    time: str
    name: str
    sha256: str
    bundle_id: str
    photographs: int
    verdict: Verdict
    unknown_cameras: int
    measures: Mapping[str, Measured]

    @classmethod
    def of(cls, drift: Drift) -> "Entry":
        """The entry of a batch that was compared now."""
        overall = (comparison for comparison in drift.comparisons if comparison.kind == "all")
        return cls(
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            name=drift.batch.name,
            sha256=drift.batch.sha256,
            bundle_id=drift.batch.bundle_id,
            photographs=len(drift.batch.observed),
            verdict=drift.verdict,
            unknown_cameras=sum(drift.cameras.unknown.values()),
            measures={
                each.measure: Measured(each.batch[len(each.batch) // 2], each.effect, each.verdict) for each in overall
            },
        )


def read_history(path: Path) -> list[Entry]:
    """The batches in the order in which they were added; none where there is no file.

    Raises:
        DataError: A line is not one of this version; the message names it.
    """
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(
            "no history of drift: not UTF-8", where=printable(path), todo="name another --history"
        ) from None
    lines = text.removesuffix("\n").split("\n") if text else []  # not splitlines: a name may hold U+2028
    return [_parse(line, where=f"{printable(path)}, line {number}") for number, line in enumerate(lines, start=1)]


def add_to_history(path: Path, entry: Entry) -> list[Entry]:
    """Adds a batch, unless the same table is there already, and returns the whole history.

    Raises:
        DataError: The file is no history.
        OSError: The disk is full; the history stays as it was.
    """
    history = read_history(path)
    if any((known.sha256, known.bundle_id) == (entry.sha256, entry.bundle_id) for known in history):
        return history
    text = json.dumps({"schema_version": VERSION, **asdict(entry)}, allow_nan=False, ensure_ascii=False)
    line = f"{text}\n".encode()
    make_private_folder(path.parent)
    handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        written = os.write(handle, line)  # one write: a killed run leaves the line whole or not at all
        if written < len(line):  # a part of a line would be in the way of all later ones
            os.ftruncate(handle, os.lseek(handle, 0, os.SEEK_CUR) - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(handle)
    finally:
        os.close(handle)
    return [*history, entry]


def _parse(line: str, *, where: str) -> Entry:
    todo = "name another --history, or remove this line"
    try:
        fields: dict[str, Any] = json.loads(line)
        if fields.pop("schema_version") == VERSION:
            measures = {
                str(name): Measured(**each | {"verdict": Verdict(each["verdict"])})
                for name, each in fields.pop("measures").items()
            }
            return Entry(**fields | {"verdict": Verdict(fields["verdict"])}, measures=measures)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"no line of a history of drift: {error!r}", where=where, todo=todo) from None
    raise DataError("a history of drift of another version", where=where, todo=todo)
