"""One change of the champion at a time: MLflow moves an alias for whoever asks last, whatever it was before.

A name in the registry is unique in its database, so that of two who create the model `dr-grader-promotion` at a time
one fails: that is the lock, with SQLite and with a server alike. It binds who uses dr-pipeline. Who moves an alias by
MLflow itself is not stopped; `champion.py` looks at the aliases before and after, which shows most of such changes.
"""

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.schema import RESEARCH_USE

LOCK_NAME = "dr-grader-promotion"
_HOLDER = "holder"
_GONE = "RESOURCE_DOES_NOT_EXIST"
_PAUSE_S = 0.5


@contextmanager
def promotion_lock(
    client: Any, *, where: str, break_other: bool = False, wait_s: float = 0.0
) -> Iterator[Callable[[], None]]:
    """Holds the lock for the block; yields a call that raises where it is held no longer.

    Args:
        client: Of MLflow.
        where: The store, for messages.
        break_other: Whether to remove a lock that another process holds, or has left.
        wait_s: How long to wait for another process to release it.

    Raises:
        EnvironmentProblem: Another process holds it, and has held it for all that time.
    """
    if break_other:
        _remove(client)
    holder, deadline = uuid.uuid4().hex, time.monotonic() + wait_s
    while True:
        try:
            _create(client, holder, where)
            break
        except EnvironmentProblem:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)

    def require_held() -> None:
        if _holder(client) != holder:
            raise EnvironmentProblem(
                "the lock of this promotion was removed by --break-lock; nothing was changed",
                where=where,
                todo="see who promotes, then run it again",
            )

    try:
        yield require_held
    finally:
        if _holder(client) == holder:
            _remove(client)


def _create(client: Any, holder: str, where: str) -> None:
    from mlflow.exceptions import MlflowException

    now = datetime.now(UTC).isoformat(timespec="seconds")
    description = f"held by process {os.getpid()} on {socket.gethostname()} since {now}"
    try:
        client.create_registered_model(LOCK_NAME, tags={_HOLDER: holder}, description=f"{description}. {RESEARCH_USE}")
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", _GONE):
            raise
        other = _find(client)
        if other and other.tags.get(_HOLDER) == holder:  # a request that was sent twice, since its answer was lost
            return
        raise EnvironmentProblem(
            f"another promotion or rollback is under way: {other.description if other else 'it has just ended'}",
            where=where,
            todo="run it again when that one has ended; where its process has died, promote with --break-lock",
        ) from None


def _holder(client: Any) -> str | None:
    found = _find(client)
    return found.tags.get(_HOLDER) if found else None


def _find(client: Any) -> Any | None:
    models = client.search_registered_models(f"name = '{LOCK_NAME}'")
    return models[0] if models else None


def _remove(client: Any) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.delete_registered_model(LOCK_NAME)
    except MlflowException as error:
        if error.error_code != _GONE:
            raise
