"""Renders photographs in parallel processes: ordered results, bounded memory, errors that name the file."""

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from dr_pipeline.canvases.render import RenderedImage, Source, render_photograph
from dr_pipeline.errors import DataError
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.processes import exit_with_parent

# Files in progress per worker: enough to keep it busy, few enough to keep memory constant.
_QUEUED_PER_WORKER = 4


def render_all(sources: Iterable[Source], pixel_path: PixelPath, workers: int) -> Iterator[RenderedImage]:
    """Yields each source's result, in order.

    Args:
        sources: The photographs.
        pixel_path: Applied to each.
        workers: Number of processes; 1 works in the calling process.

    Raises:
        DataError: A worker died; the message names the files that it may have died on.
    """
    render = partial(render_photograph, pixel_path=pixel_path)
    if workers == 1:
        yield from map(render, sources)
        return
    # Not fork: a forked process inherits the locks of threads that it does not have.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=exit_with_parent) as pool:
        queue: deque[tuple[Source, Future[RenderedImage]]] = deque()
        try:
            for source in sources:
                queue.append((source, pool.submit(render, source)))
                if len(queue) >= _QUEUED_PER_WORKER * workers:
                    yield queue[0][1].result()
                    queue.popleft()
            while queue:
                yield queue[0][1].result()
                queue.popleft()
        except BrokenProcessPool:
            names = ", ".join(str(source.path) for source, _ in queue)
            raise DataError(
                "a worker process died (out of memory, or a decoder crashed)",
                where=f"one of: {names}",
                todo="run with --workers 1 to see which file it is, and remove it from the data set",
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
