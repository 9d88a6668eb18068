"""An engine over the machines of a Ray cluster. Each of its workers runs the local engine with one process.

Ray deals with machines: it hands batches out, and does them again where a worker or a machine is lost. The local engine
deals with files: one that hangs or crashes its process is a result with the same reason as on one machine.
"""

import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import islice
from typing import Any, Generic, Self

from dr_pipeline import __version__
from dr_pipeline.engines.engine import Item, Result, Task
from dr_pipeline.engines.local import LocalEngine
from dr_pipeline.errors import DrPipelineError, EnvironmentProblem

# Items handed out at once: a hundredth of their time is spent on handing out.
_BATCH = 16
# Batches in work or waiting, per core of the cluster: one slow item must not idle the other workers.
_WINDOW_PER_CORE = 4
# How often a batch, and then each of its items alone, is begun where the worker or its machine is lost.
_ATTEMPTS = 2
_COUNT_CORES_EVERY_S = 5.0
_ANSWER_S = 10.0
_AUTH_MODE, _AUTH_TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"
_TODO_CLUSTER = "see `ray status`; a run of `score` goes on with --resume"


class RayEngine(Generic[Item, Result]):
    """Workers of a Ray cluster, one per core, which may come and go; it starts when the engine is entered.

    Args:
        task: Set up once in each worker.
        address: The cluster's, such as 10.0.0.1:6379; None: that of the environment variable RAY_ADDRESS, or else a
            cluster of this machine alone, which ends with the engine.
        workers: Processes of a cluster of this machine alone; other clusters know their own cores.
        time_limit_s: As the local engine's.

    Raises:
        EnvironmentProblem: Ray is not installed; there is no cluster at `address`; its machines have another version
            of this package.
    """

    def __init__(self, task: Task[Item, Result], *, address: str | None, workers: int, time_limit_s: float) -> None:
        self._task, self._workers, self._time_limit_s = task, workers, time_limit_s
        self._address = address or os.environ.get("RAY_ADDRESS") or "local"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._ray = stack.enter_context(cluster(self._address, self._workers))
            self._work = self._ray.remote(num_cpus=1, max_retries=_ATTEMPTS - 1)(_work_on)
            self._job = self._ray.put(_Job(self._task, self._time_limit_s))
            self._counted_s = float("-inf")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def results(self, items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Yields each item with its result, in order."""
        waiting: deque[tuple[list[Item], Any]] = deque()
        todo = iter(items)
        while True:
            while len(waiting) < self._window() and (batch := list(islice(todo, _BATCH))):
                waiting.append((batch, self._submit(batch)))
            if not waiting:
                return
            batch, reference = waiting[0]
            yield from zip(batch, self._batch_results(batch, reference), strict=True)
            waiting.popleft()

    def _window(self) -> int:
        if time.monotonic() - self._counted_s >= _COUNT_CORES_EVERY_S:
            self._cores = int(self._ray.cluster_resources().get("CPU", 0))
            self._counted_s = time.monotonic()
        return _WINDOW_PER_CORE * max(1, self._cores)

    def _submit(self, batch: list[Item]) -> Any:
        return self._work.remote(self._job, self._job.hex(), __version__, batch)

    def _batch_results(self, batch: list[Item], reference: Any) -> list[Result]:
        errors = self._ray.exceptions
        try:
            return list(self._ray.get(reference))
        except errors.RayTaskError as error:
            raise _explained(error.cause) from None
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError, errors.OutOfMemoryError):
            if len(batch) == 1:
                return [self._task.failed(batch[0], f"the worker of the cluster died on it {_ATTEMPTS} times")]
        except errors.RayError as error:
            raise EnvironmentProblem(f"the cluster failed: {_first_line(error)}", todo=_TODO_CLUSTER) from None
        alone = [[item] for item in batch]
        references = [self._submit(each) for each in alone]
        return [self._batch_results(each, one)[0] for each, one in zip(alone, references, strict=True)]


class _Job:
    """What a worker of the cluster needs beside the items."""

    def __init__(self, task: Task[Any, Any], time_limit_s: float) -> None:
        self.task, self.time_limit_s = task, time_limit_s


_engines: dict[str, LocalEngine[Any, Any]] = {}  # of this worker: the one that it last worked with


def _work_on(job: _Job, key: str, version: str, batch: list[Any]) -> list[Any]:
    """Does a batch in a worker of the cluster."""
    if version != __version__:
        raise EnvironmentProblem(
            f"a machine of the cluster has dr_pipeline {__version__} instead of {version}",
            todo="install the same version on all machines",
        )
    if key not in _engines:
        _require_places(job.task)
        for engine in _engines.values():
            engine.__exit__()
        _engines.clear()
        # The program of this worker is Ray's: its child would import it, 0.4 s and 50 MB for nothing.
        vars(sys.modules["__main__"])["__file__"] = None
        _engines[key] = LocalEngine(job.task, workers=1, time_limit_s=job.time_limit_s).__enter__()
    return [result for _, result in _engines[key].results(batch)]


def _require_places(task: Task[Any, Any]) -> None:
    """Refuses to work where a shared folder is not mounted: each of its files would be missing."""
    for place in task.places:
        if not place.exists():
            raise EnvironmentProblem(
                "a machine of the cluster does not see this file or folder",
                where=str(place),
                todo="make it visible under the same path on all machines, or name an address such as s3://",
            )


def _explained(cause: Exception) -> Exception:
    """The error of a worker as the caller of `results` shall see it."""
    if isinstance(cause, DrPipelineError) or "failed to import" not in str(cause):
        return cause
    return EnvironmentProblem(
        "a machine of the cluster cannot import dr_pipeline",
        todo="install this package, the same version, on all machines",
    )


@contextmanager
def cluster(address: str, workers: int) -> Iterator[Any]:
    """Yields the module ray, connected; nothing of it is left behind: no process, no file, no signal handler, no token.

    A program that has called ray.init itself keeps its own cluster.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray would send them to its maker
    try:
        import ray
    except ModuleNotFoundError:
        raise EnvironmentProblem(
            "the engine 'ray' needs the package 'ray'", todo="pip install 'dr-pipeline[ray]'"
        ) from None
    if ray.is_initialized():
        yield ray
        return
    with ExitStack() as stack:
        options: dict[str, Any] = {}
        if address == "local":
            folder = tempfile.mkdtemp(prefix="ray-")  # for its owner alone; with a short name, since sockets are in it
            stack.callback(shutil.rmtree, folder, ignore_errors=True)  # a process that ends may still write to it
            stack.enter_context(_own_token())
            options = {
                "num_cpus": workers,
                "include_dashboard": False,
                "_temp_dir": f"{folder}/r",
            }  # opened to all by Ray
        stack.callback(ray.shutdown)
        with _same_sigterm():
            try:
                _require_answer(address)
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
            except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise EnvironmentProblem(
                    f"no connection to a Ray cluster: {_first_line(error)}",
                    where=address,
                    todo="check --ray-address and RAY_ADDRESS, and `ray status` there; where the cluster asks for a "
                    "token, set RAY_AUTH_MODE=token, and have the token in ~/.ray/auth_token or RAY_AUTH_TOKEN",
                ) from None
        yield ray


def _require_answer(address: str) -> None:
    """Raises OSError where nothing listens at `host:port`; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal() and "://" not in address:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


@contextmanager
def _own_token() -> Iterator[None]:
    """A token for the clusters of this process, unless the user has chosen one.

    Ray would write one into the home folder, readable to all, and later clusters of the user would ask for it.
    """
    if {_AUTH_MODE, _AUTH_TOKEN, f"{_AUTH_TOKEN}_PATH"} & os.environ.keys():
        yield
        return
    os.environ[_AUTH_TOKEN] = _token()
    try:
        yield
    finally:
        for name in (_AUTH_MODE, _AUTH_TOKEN):  # Ray sets the first
            os.environ.pop(name, None)


@cache
def _token() -> str:
    """One a process, since Ray keeps the first that it reads."""
    return secrets.token_hex(32)


@contextmanager
def _same_sigterm() -> Iterator[None]:
    """Keeps the program's answer to SIGTERM, which ray.init replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
