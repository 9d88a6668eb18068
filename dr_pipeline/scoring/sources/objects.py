"""Lists and reads objects at addresses such as s3://bucket/folder, by fsspec, which is imported for addresses only.

Credentials come from where the store's own tools find them (for S3: environment, ~/.aws, the machine's role). Messages
repeat nothing of what a server or a library says, since that may hold keys.
"""

import re
from collections.abc import Iterator
from typing import Any

from dr_pipeline.errors import DataError, DrPipelineError, EnvironmentProblem, ImageError
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.fundus.limits import MAX_FILE_BYTES
from dr_pipeline.scoring.sources.entry import Entry

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_USER = re.compile(r"(?<=://)[^/@]*@")
# What S3 calls credentials that are no longer valid for anything (Amazon S3 API Reference, "Error responses").
_INVALID_CREDENTIALS = frozenset(
    ("ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch")
)
_CREDENTIAL_ERRORS = ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "ProfileNotFound")
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


def is_address(source: str) -> bool:
    """Whether a source is an address, such as s3://bucket/folder, and no path."""
    return _ADDRESS.match(source) is not None


def without_secrets(source: str) -> str:
    """An address without user, password and query, which may be a signature; a path as it is."""
    return _USER.sub("", source).partition("?")[0] if is_address(source) else source


def list_objects(address: str, *, rules: FolderRules) -> Iterator[Entry]:
    """Lists every object below an address, or the one object at it; the listing of one folder is held in memory.

    Raises:
        DataError: A library is missing, there is nothing, or the store refuses or does not answer.
    """
    where = without_secrets(address)
    if where.lower().endswith(_ARCHIVES):
        raise DataError("archives in an object store are not opened", where=where, todo="download it first")
    try:
        system, root = open_store(address)
        root = root.rstrip("/")
        if not system.isdir(root):
            system.info(root)
            yield Entry(_name(root), address)
            return
        for folder, _folders, files in system.walk(root, detail=True, on_error="raise"):
            for name, details in files.items():
                path = f"{folder}/{name}"
                relative = path.removeprefix(root).lstrip("/")
                if path.endswith("/") and details["type"] == "file" and not details["size"]:
                    continue  # the mark that a store's own page leaves for a folder
                problem = "objects below a folder without a name are not read" if path.endswith("/") else ""
                yield Entry(relative, address, problem, rules.left_out_on_the_way(relative), member=path)
    except DrPipelineError:
        raise
    except Exception as error:  # each store's library raises kinds of its own
        raise DataError(f"cannot be listed: {describe(error)}", where=where, todo=advice(error)) from None


def read_object(address: str, path: str) -> bytes:
    """The bytes of one object.

    Args:
        address: As the source names it.
        path: The object's path in the store; empty where the address itself names the object.

    Raises:
        ImageError: It is missing, too large, changes while it is read, or the store does not give it.
        EnvironmentProblem: The store gives nothing any more, such as when credentials have expired.
    """
    where = without_secrets(address)
    try:
        system, own_path = open_store(address)
        with system.open(path or own_path, "rb") as stream:
            size = getattr(stream, "size", None)  # None: a web server that does not say
            data: bytes = stream.read(MAX_FILE_BYTES + 1) if (size or 0) <= MAX_FILE_BYTES else b""
    except DataError as error:
        raise ImageError(error.what, where=where, todo=error.todo) from None
    except FileNotFoundError:
        raise ImageError("the object is missing", where=where) from None
    except Exception as error:  # each store's library raises kinds of its own
        _require_store(address, path, error)
        raise ImageError(f"the object cannot be read: {describe(error)}", where=where) from None
    if max(size or 0, len(data)) > MAX_FILE_BYTES:
        raise ImageError(f"{max(size or 0, len(data)) / 1e9:.1f} GB is too large for a photograph", where=where)
    if size not in (None, len(data)):
        raise ImageError("the object changed while it was read", where=where)
    return data


def _require_store(address: str, path: str, error: Exception) -> None:
    """Ends the run where not one object but the whole store cannot be read: its rows would all be failures.

    Args:
        address: As the source names it.
        path: The object's; empty where the address itself names the object, so that nothing else can be tried.
        error: Why the object cannot be read.

    Raises:
        EnvironmentProblem: The credentials are no longer valid, or the source itself cannot be read either.
    """
    problem = error if _code(error) in _INVALID_CREDENTIALS or type(error).__name__ in _CREDENTIAL_ERRORS else None
    if problem is None and path:
        try:
            system, root = open_store(address)
            system.invalidate_cache()
            system.info(root.rstrip("/"))
        except FileNotFoundError:
            return
        except Exception as its_error:  # each store's library raises kinds of its own
            problem = its_error
    if problem is not None:
        raise EnvironmentProblem(
            f"the photographs cannot be read any more: {describe(problem)}",
            where=without_secrets(address),
            todo=f"{advice(problem)}; then go on with --resume",
        ) from None


def _code(error: Exception) -> str:
    """S3's own name of an error, which botocore keeps; empty for other libraries."""
    response = getattr(error.__cause__ or error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def open_store(address: str) -> tuple[Any, str]:
    """The file system and the address's path in it; fsspec keeps file systems open.

    Raises:
        DataError: A library is missing, or there is no such kind of store.
    """
    scheme = address.partition("://")[0]
    if "::" in address:
        raise DataError("addresses within addresses (::) are not read", where=without_secrets(address))
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(address, use_listings_cache=False)
    except ImportError:
        raise DataError(
            f"addresses with {scheme}:// need a library that is not installed",
            where=without_secrets(address),
            todo="pip install 'dr-pipeline[s3]', or fsspec's library for this kind of store",
        ) from None
    except ValueError:
        raise DataError(f"no kind of store is called {scheme}", where=without_secrets(address)) from None
    return system, path


def _name(path: str) -> str:
    return path.rpartition("/")[2] or "object"


def describe(error: Exception) -> str:
    """Why a store's library failed, in words that hold no secret."""
    if isinstance(error, PermissionError):
        return "the store refuses these credentials"
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket, folder or object"
    if type(error).__name__ in _CREDENTIAL_ERRORS:
        return "no credentials for the store were found"
    if isinstance(error, TimeoutError | ConnectionError) or "Connect" in type(error).__name__:
        return "the store does not answer"
    return f"the store's library failed with {type(error).__name__}"


def advice(error: Exception) -> str:
    """What to do about it."""
    if isinstance(error, PermissionError) or type(error).__name__ in _CREDENTIAL_ERRORS:
        return "for S3, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    return "check the address, and AWS_ENDPOINT_URL where the store is not Amazon's"
