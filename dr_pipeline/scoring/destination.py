"""Where a table goes: a file, or an object of a store, which gets it whole when the run has ended.

An object store cannot add to an object, and a journal on it would cost a request per row. So the run works in a folder
of this machine, and its finished files are uploaded, the manifest last: where the manifest is, all is.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError, EnvironmentProblem
from dr_pipeline.files import make_private_folder

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
                where=without_password(out),
                todo="name one with --work-dir; --resume goes on from it",
            )
        name = out.rpartition("/")[2]
        if not name:
            raise DataError("the address names no table", where=without_password(out), todo="end it with a file's name")
        return cls(work_dir / name, out)

    def require_writable(self) -> None:
        """Writes and removes a small object: a store that refuses shall do so before the work, not after it.

        Raises:
            DataError: The store refuses, or cannot be reached.
            EnvironmentProblem: The package for this kind of store is not installed.
        """
        if self.address:
            with _store(self.address + _PROBE) as (store, path):
                store.pipe_file(path, b"")
                store.rm_file(path)

    def upload(self, paths: Iterable[Path]) -> tuple[Path | str, ...]:
        """Copies files beside the table's address, in this order; returns where they are.

        Raises:
            DataError: The store refuses, or has another size than the file.
        """
        return tuple(self._upload(path) if self.address else path for path in paths)

    def _upload(self, local: Path) -> str:
        address = f"{self.address.rpartition('/')[0]}/{local.name}"
        whole = f"the run has ended and its files are in {local.parent}; --resume uploads them"
        try:
            with _store(address) as (store, path):
                store.put_file(str(local), path)
                store.invalidate_cache()
                size = store.info(path)["size"]
        except DataError as error:
            raise DataError(error.what, where=error.where, todo=whole) from None
        if size != local.stat().st_size:
            what = f"the object has {size} bytes, the file {local.stat().st_size}"
            raise DataError(what, where=without_password(address), todo=whole)
        return without_password(address)


def download(address: str, local: Path) -> None:
    """Copies an object to a file.

    Raises:
        DataError: There is none, the store refuses, or cannot be reached.
        EnvironmentProblem: The package for this kind of store is not installed.
    """
    make_private_folder(local.parent)
    with _store(address) as (store, path):
        store.get_file(path, str(local))


def is_address(text: str) -> bool:
    """Whether it is an address of a store, such as s3://bucket/folder, and no path."""
    return "://" in text


def without_password(address: str) -> str:
    """The address without what may stand before an @ in it, and without what follows a question mark."""
    scheme, _, rest = address.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


@contextmanager
def _store(address: str) -> Iterator[tuple[Any, str]]:
    """Yields the file system of an address and the path in it; its errors become sentences without secrets."""
    where = without_password(address)
    try:
        import fsspec

        yield fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise EnvironmentProblem(
            f"this address needs a package that is not installed: {error.name or error}",
            where=where,
            todo="pip install 'dr-pipeline[s3]' for s3://, or the fsspec package of this store",
        ) from None
    except Exception as error:  # each store's library has its own; their texts may hold keys and signed addresses
        raise DataError(
            _reason(error),
            where=where,
            todo="check the address and the credentials; for s3:// those are AWS_ACCESS_KEY_ID, a profile, or a role",
        ) from None


def _reason(error: Exception) -> str:
    kind = type(error).__name__
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket or object"
    if isinstance(error, PermissionError) or "Credential" in kind:
        return f"the object store refuses access ({kind})"
    return f"the object store failed ({kind})"
