"""Takes photographs into the queue: on the disk before the sender is answered, or refused with the reason."""

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dr_pipeline.clinic.node.admission import Limits, StoreStatus
from dr_pipeline.clinic.node.store import NodeStore
from dr_pipeline.clinic.photograph_header import read_photograph_header
from dr_pipeline.errors import ImageError
from dr_pipeline.files import make_private_folder, sha256_bytes
from dr_pipeline.logs import logger

# A sender is answered late where photographs wait, so that a flood does not outrun the scoring; but never this late.
_MAX_PACE_S = 5.0
_PART = ".part"


@dataclass(frozen=True)
class Answer:
    """The answer to one C-STORE request.

    Attributes:
        status: For the sender.
        reason: Why it is not `STORED`, without anything of a patient; else empty.
    """

    status: StoreStatus
    reason: str = ""


class Inbox:
    """The folder of photographs that wait, with the node's state. May be used from any thread.

    Args:
        folder: Of the photographs; only its owner may enter it.
        store: The node's state.
        limits: What may wait.
        pace: Photographs that may wait before a sender is answered late.
        free_bytes: Free space of the disk that holds a folder.
    """

    def __init__(
        self,
        folder: Path,
        store: NodeStore,
        limits: Limits,
        *,
        pace: int,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        make_private_folder(folder)
        self._folder, self._store, self._limits, self._pace = folder, store, limits, pace
        self._free_bytes = free_bytes
        self._taking = threading.Lock()
        self._changed = threading.Condition()

    def path(self, name: str) -> Path:
        """Where a photograph's file is."""
        return self._folder / name

    def clean(self, *, keep: bool) -> int:
        """Removes what a killed node left: files whose sender was not answered, and files that are scored.

        Args:
            keep: Whether scored photographs stay.

        Returns:
            How many files were removed.
        """
        removed = 0
        for path in self._folder.iterdir():
            if not (self._store.is_taken(path.name) if keep else self._store.is_waiting(path.name)):
                path.unlink()
                removed += 1
        return removed

    def offer(self, data: bytes, *, sop_class: str, sop_instance: str, sender: str) -> Answer:
        """Takes one photograph, or refuses it.

        Args:
            data: A DICOM file, as it came.
            sop_class: UID of the class, as the request states it.
            sop_instance: UID of the instance, as the request states it.
            sender: The calling AE title.
        """
        answer = self._answer(data, sop_class, sop_instance)
        if answer.status is not StoreStatus.STORED:
            self.refuse(sender, answer.reason)
        return answer

    def refuse(self, sender: str, reason: str) -> None:
        """Counts a refused request, and warns of the first of its kind."""
        try:
            first = self._store.refuse(sender, reason, datetime.now().astimezone().isoformat(timespec="seconds"))
        except sqlite3.OperationalError:  # the disk is full, which is the reason
            first = True
        if first:
            logger.warning("refused, from %s: %s", sender, reason)

    def _answer(self, data: bytes, sop_class: str, sop_instance: str) -> Answer:
        try:
            header = read_photograph_header(data)
        except ImageError as error:
            return Answer(StoreStatus.CANNOT_UNDERSTAND, error.what)
        if (header.sop_class, header.sop_instance) != (sop_class, sop_instance):
            return Answer(StoreStatus.DATA_SET_MISMATCH, "the request names another object than the data set")
        with self._taking:
            known, sha256 = self._store.names_of(sop_instance), sha256_bytes(data)
            if sha256 in known:
                return Answer(StoreStatus.STORED)
            if full := self._limits.why_full(
                waiting=self._store.waiting,
                waiting_bytes=self._store.waiting_bytes,
                free_bytes=self._free_bytes(self._folder),
                new_bytes=len(data),
            ):
                return Answer(StoreStatus.OUT_OF_RESOURCES, full)
            name = f"{sop_instance}-{sha256[:16]}.dcm" if known else f"{sop_instance}.dcm"
            try:
                self._write(name, data)
                self._store.take(name, header, sha256=sha256, size=len(data))
            except (OSError, sqlite3.OperationalError):
                self.path(name).unlink(missing_ok=True)
                return Answer(StoreStatus.OUT_OF_RESOURCES, "the disk is full, or cannot be written")
        return Answer(StoreStatus.STORED)

    def _write(self, name: str, data: bytes) -> None:
        """Writes a file that is on the disk, whole and under its name, when this returns."""
        part = self.path(name + _PART)
        try:
            with open(part, "wb", opener=_private) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path(name))
        finally:
            part.unlink(missing_ok=True)
        if os.name == "posix":  # elsewhere a folder cannot be opened
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def pace(self) -> None:
        """Returns when few photographs wait, or after some seconds."""
        with self._changed:
            self._changed.notify_all()  # the scoring may wait for this one
            self._changed.wait_for(lambda: self._store.waiting <= self._pace, timeout=_MAX_PACE_S)

    def wait_for_arrival(self, timeout_s: float) -> None:
        """Returns when a photograph waits, or after `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._store.waiting > 0, timeout=timeout_s)

    def scored(self, name: str, *, keep: bool) -> None:
        """Removes the file of a photograph that is scored, unless it is kept, and lets senders go on."""
        if not keep:
            self.path(name).unlink(missing_ok=True)
        with self._changed:
            self._changed.notify_all()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
