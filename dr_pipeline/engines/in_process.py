"""An engine without processes: one item after the other, in the caller's own. It knows no time limit."""

from collections.abc import Iterable, Iterator
from typing import Generic, Self

from dr_pipeline.engines.engine import Item, Result, Task


class InProcessEngine(Generic[Item, Result]):
    """For tests, debuggers, and places where a program may start no processes.

    Args:
        task: Set up when the engine is entered.
    """

    def __init__(self, task: Task[Item, Result]) -> None:
        self._task = task

    def __enter__(self) -> Self:
        self._work = self._task.setup()
        return self

    def __exit__(self, *exception: object) -> None:
        return

    def results(self, items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Yields each item with its result."""
        for item in items:
            yield item, self._work(item)
