"""Shares photographs out over processes: results in order, a bounded number under way, errors that name the file."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from dr_pipeline.canvases.render import Made, Source, make
from dr_pipeline.errors import DataError
from dr_pipeline.fundus.pixel_path import PixelPath

# Files under way per worker: enough to keep it busy, few enough to keep memory flat.
_AHEAD_PER_WORKER = 4


def make_all(sources: Iterable[Source], pixel_path: PixelPath, workers: int) -> Iterator[Made]:
    """Yields each source's result, in order.

    Args:
        sources: What to make.
        pixel_path: How.
        workers: Processes; 1 works in this one.

    Raises:
        DataError: A worker died; the message names the files it may have died on.
    """
    work = partial(make, pixel_path=pixel_path)
    if workers == 1:
        yield from map(work, sources)
        return
    # Not fork: a forked process inherits locks of threads that it does not have.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        under_way: deque[tuple[Source, Future[Made]]] = deque()
        try:
            for source in sources:
                under_way.append((source, pool.submit(work, source)))
                if len(under_way) >= _AHEAD_PER_WORKER * workers:
                    yield under_way[0][1].result()
                    under_way.popleft()
            while under_way:
                yield under_way[0][1].result()
                under_way.popleft()
        except BrokenProcessPool:
            names = ", ".join(str(source.path) for source, _ in under_way)
            raise DataError(
                "a worker process died (out of memory, or a decoder crashed)",
                where=f"one of: {names}",
                todo="remove the file from the manifest's source, or run with --workers 1 to see which it is",
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """Ends this worker once the process that gives it work is gone: killed, that one cannot tell it to stop."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def wait() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=wait, name="end-with-parent", daemon=True).start()
