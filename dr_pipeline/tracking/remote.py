"""A tracking server that may be away: one short try, and a failure remembered for the rest of the run.

MLflow's client tries again for four minutes where a server is away, and for longer where it accepts and never answers;
each stage would wait so long.
"""

import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.files import sha256_bytes

Result = TypeVar("Result")

_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
# Of the first try, in seconds; a user's own setting goes before it.
_FIRST_TIMEOUT_S = 10
# Of the requests after it, such as the upload of a bundle; a user's own settings go before them.
_LATER = {_RETRIES: "1", _TIMEOUT: "30"}
# A training takes hours: the stages after it try again.
_REMEMBERED_S = 3600
_log = logging.getLogger(__name__)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


def is_remote(uri: str) -> bool:
    """Whether a store is reached over a network: neither a database file nor a folder."""
    return uri.startswith("databricks") or ("://" in uri and not uri.startswith(("sqlite:", "file:")))


def without_credentials(text: str) -> str:
    """A message without the user names and passwords of the addresses in it."""
    return _CREDENTIALS.sub("", text)


def first_try(uri: str, call: Callable[[], Result]) -> Result:
    """The result of `call`, which asks the server for the first time, once and for a short time.

    Raises:
        EnvironmentProblem: No answer in time, or none that could be used. `is_known_away` is True from then on.
    """
    try:
        with _environment({_RETRIES: "0", _TIMEOUT: str(_first_timeout_s())}):
            result = _within(2 * _first_timeout_s(), call)  # names that are looked up, and databases, have no timeout
    except Exception as error:  # whatever MLflow, requests, a database or the deadline raises
        _remember(uri)
        raise EnvironmentProblem(
            f"the MLflow server does not answer as it should: {_reason(error)}",
            where=without_credentials(uri),
            todo="start the server or correct MLFLOW_TRACKING_URI, then dr-pipeline track rebuild",
        ) from error
    with suppress(OSError):  # there is none, or no place for it
        _marker(uri).unlink()
    for name, value in _LATER.items():
        os.environ.setdefault(name, value)
    return result


def is_known_away(uri: str) -> bool:
    """Whether an earlier stage of this run, in the last hour, has found the server away and reported it."""
    if not is_remote(uri):
        return False
    try:
        return 0 <= time.time() - _marker(uri).stat().st_mtime < _REMEMBERED_S
    except OSError:  # there is none, or no place for it
        return False


def _remember(uri: str) -> None:
    try:
        _marker(uri).touch()
    except OSError as error:  # no place for temporary files: each stage tries, waits and says so
        _log.debug("not remembered: %s", error)


def _marker(uri: str) -> Path:
    """A file that stands for "away in this run"; the stages of one `dvc repro` are one process group."""
    run = os.getpgrp() if hasattr(os, "getpgrp") else os.getppid()
    name = sha256_bytes(f"{Path.home()} {run} {uri}".encode())[:16]
    return Path(tempfile.gettempdir()) / f"dr_pipeline-{name}.away"


def _first_timeout_s() -> int:
    present = os.environ.get(_TIMEOUT, "")
    return int(present) if present.isdecimal() else _FIRST_TIMEOUT_S


def _within(seconds: float, call: Callable[[], Result]) -> Result:
    """The result of `call`; raises TimeoutError after `seconds`, and does not wait for its thread."""
    future: Future[Result] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="first-try", daemon=True).start()
    try:
        return future.result(timeout=seconds)
    except TimeoutError:
        raise TimeoutError(f"no answer within {seconds:g} s") from None


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets variables for the block, which MLflow reads at each request."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _reason(error: Exception) -> str:
    """The innermost cause in one line, which says "connection refused" where MLflow's message is a paragraph."""
    cause: BaseException = error
    while inner := cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__):
        cause = inner
    text = without_credentials(str(cause).strip().partition("\n")[0])
    return f"{type(cause).__name__}: {text}"[:300]
