"""An engine of worker processes: one that hangs or dies costs one item its result, and no other."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, Generic, Self

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from dr_pipeline.engines.engine import Item, Result, Task
from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.processes import exit_with_parent, keep_freed_memory

# Items in work or waiting, per worker: one slow item must not idle the other workers.
_WINDOW_PER_WORKER = 8
# A worker that dies on an item may have been killed for another reason, such as the machine's lack of memory.
_ATTEMPTS = 2
_MAX_RESTARTS = 3
# Beyond the time limits of the items ahead: the start of a worker, and Pebble's own waiting for a dead worker's lock.
_GRACE_S = 150.0


class LocalEngine(Generic[Item, Result]):
    """Worker processes, each with its own copy of the task, which start when the engine is entered.

    Args:
        task: Set up once in each worker.
        workers: Number of processes.
        time_limit_s: A worker that takes longer over one item is ended and replaced, and the item has failed.

    Raises:
        EnvironmentProblem: Workers do not start, or die before they take an item, again and again.
    """

    def __init__(self, task: Task[Item, Result], *, workers: int, time_limit_s: float) -> None:
        self._task, self._workers, self._time_limit_s = task, workers, time_limit_s

    def __enter__(self) -> Self:
        self._restarts = 0
        self._start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def results(self, items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Yields each item with its result; what a worker could not end is the task's `failed`."""
        self._waiting: deque[tuple[Item, ProcessFuture[Result]]] = deque()
        todo = iter(items)
        while True:
            for item in islice(todo, _WINDOW_PER_WORKER * self._workers - len(self._waiting)):
                self._waiting.append((item, self._submit(item)))
            if not self._waiting:
                return
            yield self._waiting[0][0], self._first_result()
            self._waiting.popleft()
            self._restarts = 0

    def _first_result(self) -> Result:
        """The result of the item that waits longest."""
        item = self._waiting[0][0]
        for _ in range(_ATTEMPTS):
            try:
                return self._wait()
            except TimeoutError:
                return self._task.failed(item, f"not done within {self._time_limit_s:g} s, the limit for one file")
            except ProcessExpired as error:
                death = _describe_exit(error.exitcode)
                self._waiting[0] = (item, self._submit(item))
        self._waiting[0][1].cancel()  # type: ignore[no-untyped-call]
        return self._task.failed(item, f"the worker process died on it {_ATTEMPTS} times ({death})")

    def _wait(self) -> Result:
        """Waits for the first item; starts the pool again where it is broken or stands still.

        Raises:
            TimeoutError: The item's own time is over.
            ProcessExpired: Its worker died.
        """
        while True:
            future = self._waiting[0][1]
            try:
                return future.result(timeout=2 * self._time_limit_s + _GRACE_S)
            except BrokenProcessPool:
                self._restart()
            except TimeoutError:
                if future.done():
                    raise
                self._restart()

    def _submit(self, item: Item) -> ProcessFuture[Result]:
        try:
            return self._pool.schedule(_work_on, (item,), timeout=self._time_limit_s)
        except RuntimeError:  # the pool broke since; noticed with the first result
            future: ProcessFuture[Result] = ProcessFuture()
            future.set_exception(BrokenProcessPool("the pool is not active"))
            return future

    def _start(self) -> None:
        self._pool = ProcessPool(
            self._workers,
            initializer=_set_up,
            initargs=(self._task,),
            context=_context(self._task.modules),
        )
        self._pool.schedule(os.getpid)  # the workers start now, not with the first item

    def _restart(self) -> None:
        """Starts the pool again, which breaks when a worker dies without an item or holding the lock of its pipe."""
        self._restarts += 1
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()
        if self._restarts > _MAX_RESTARTS:
            raise EnvironmentProblem(
                "worker processes do not start, or die at once", todo="see whether the machine is out of memory"
            )
        self._start()
        self._waiting = deque((item, self._again(item, future)) for item, future in self._waiting)

    def _again(self, item: Item, future: ProcessFuture[Result]) -> ProcessFuture[Result]:
        ended = future.done() and not future.cancelled() and future.exception() is None
        return future if ended else self._submit(item)


def _context(modules: Sequence[str]) -> Any:
    """How workers start: from a server that has loaded the modules once, or (Windows) each on its own.

    Not by forking this process: the copy would inherit the locks of threads that it does not have.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context


_work: Callable[[Any], Any]


def _set_up(task: Task[Any, Any]) -> None:
    """Sets up the task in this worker; a fault is raised with the first item, where the caller sees it."""
    global _work
    exit_with_parent()
    keep_freed_memory()
    try:
        _work = task.setup()
    except Exception as error:
        _work = _Raise(error)


class _Raise:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, _item: object) -> None:
        raise self._error


def _work_on(item: Any) -> Any:
    return _work(item)


def _describe_exit(code: int | None) -> str:
    """`SIGKILL`, or `exit code 1`."""
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
