"""Where a table goes: a file, or an object of a store, which gets it whole when the run has ended.

An object store cannot add to an object, and a journal on it would cost a request per row. So the run works in a folder
of this machine, and its finished files are uploaded, the manifest last: where the manifest is, all is.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError, DrPipelineError
from dr_pipeline.files import make_private_folder
from dr_pipeline.logs import logger
from dr_pipeline.scoring.sources.objects import advice, describe, is_address, open_store, without_secrets

_PROBE = ".writable"


@dataclass(frozen=True)
class Destination:
    """The place of a table.

    Attributes:
        table: The table on this machine.
        address: The table's address on the store, such as s3://bucket/folder/predictions.csv; empty: it stays here.
    """

    table: Path
    address: str = ""

    @classmethod
    def of(cls, out: str, work_dir: Path | None) -> "Destination":
        """The destination of `--out`.

        Args:
            out: A path, or an address.
            work_dir: For an address, the folder in which the run works.

        Raises:
            DataError: An address without a folder to work in, or without a name at its end.
        """
        if not is_address(out):
            return cls(Path(out))
        if work_dir is None:
            raise DataError(
                "a table on an object store needs a folder of this machine for the run's journal",
                where=without_secrets(out),
                todo="name one with --work-dir; --resume goes on from it",
            )
        name = out.rpartition("/")[2]
        if not name:
            raise DataError("the address names no table", where=without_secrets(out), todo="end it with a file's name")
        return cls(work_dir / name, out)

    def require_writable(self) -> None:
        """Writes and removes a small object: a store that refuses shall do so before the work, not after it.

        Raises:
            DataError: The store refuses or does not answer; the library for it is not installed.
        """
        if self.address:
            with _store(self.address + _PROBE) as (store, path):
                store.pipe_file(path, b"")
                store.rm_file(path)

    def upload(self, paths: Iterable[Path], others: Iterable[Path] = ()) -> tuple[Path | str, ...]:
        """Copies files beside the table's address, in this order; returns where they are.

        Args:
            paths: The files.
            others: What this run has not written; an earlier run's that lies on the store is named on the terminal.

        Raises:
            DataError: The store refuses, or has another size than the file.
        """
        if not self.address:
            return tuple(paths)
        uploaded = tuple(map(self._upload, paths))
        for other in others:
            address = self._beside(other)
            with suppress(DataError), _store(address) as (store, path):  # it may forbid the question
                if store.exists(path):
                    logger.warning("%s stays on the store, but is not of this run", without_secrets(address))
        return uploaded

    def _beside(self, local: Path) -> str:
        return f"{self.address.rpartition('/')[0]}/{local.name}"

    def _upload(self, local: Path) -> str:
        address = self._beside(local)
        whole = f"the run has ended and its files are in {local.parent}; --resume uploads them"
        try:
            with _store(address) as (store, path):
                store.put_file(str(local), path)
                size = store.info(path)["size"]
        except DataError as error:
            raise DataError(error.what, where=error.where, todo=whole) from None
        if size != local.stat().st_size:
            what = f"the object has {size} bytes, the file {local.stat().st_size}"
            raise DataError(what, where=without_secrets(address), todo=whole)
        return without_secrets(address)


def download(address: str, local: Path) -> None:
    """Copies an object to a file.

    Raises:
        DataError: There is none, the store refuses or does not answer; the library for it is not installed.
    """
    make_private_folder(local.parent)
    with _store(address) as (store, path):
        store.get_file(path, str(local))


@contextmanager
def _store(address: str) -> Iterator[tuple[Any, str]]:
    """Yields the file system of an address and the path in it; its errors become sentences without secrets."""
    try:
        yield open_store(address)
    except DrPipelineError:
        raise
    except Exception as error:  # each store's library raises kinds of its own
        raise DataError(describe(error), where=without_secrets(address), todo=advice(error)) from None
