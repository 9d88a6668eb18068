"""What an engine is: it does one task on every item, in order, and gives an answer for each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Item_contra = TypeVar("Item_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Task(Protocol[Item_contra, Result_co]):
    """Work on one item at a time. Picklable, as items and results are: each worker has its own copy.

    Attributes:
        modules: What the work imports, by name: loaded once for all workers where the system can share it.
        places: Files and folders that every machine must have before it takes an item.
    """

    @property
    def modules(self) -> Sequence[str]:
        """See above."""
        ...

    @property
    def places(self) -> Sequence[Path]:
        """See above."""
        ...

    def setup(self) -> Callable[[Item_contra], Result_co]:
        """Loads what the work needs, once in each worker, and returns the work on one item.

        An exception, here or in the work, ends the run; a fault of one item alone is a result.
        """
        ...

    def failed(self, item: Item_contra, reason: str) -> Result_co:
        """The result of an item whose worker did not end with one."""
        ...


class Engine(Protocol[Item, Result_co]):
    """Does a task on items; a context manager, whose workers start when it is entered."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def results(self, items: Iterable[Item]) -> Iterator[tuple[Item, Result_co]]:
        """Yields each item with its result, in the order of `items`, of which a bounded number is taken ahead.

        May be called again, with other items, when the iterator has ended.
        """
        ...
