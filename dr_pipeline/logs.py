"""Messages and progress bars on standard error: one logger, and a bar on long work where a terminal shows it."""

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

# The package's one logger. The command line shows it; a program that calls this package configures it as it likes.
logger = logging.getLogger("dr_pipeline")


class _StderrHandler(logging.Handler):
    """Writes each message as one line to the current standard error, above a progress bar that is being drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record) + "\n"
            if "tqdm" in sys.modules:
                from tqdm import tqdm

                with tqdm.external_write_mode(file=sys.stderr):
                    sys.stderr.write(text)
            else:
                sys.stderr.write(text)
        except Exception:
            self.handleError(record)


def show_messages() -> None:
    """Shows messages from level INFO on standard error, for the command line. Repeated calls do nothing."""
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())
        logger.setLevel(logging.INFO)
        logger.propagate = False


def progress(items: Iterable[Item], *, label: str, total: int | None = None) -> Iterator[Item]:
    """Passes `items` through and draws a progress bar; silent where standard error is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    yield from tqdm(items, desc=label, total=total, leave=False, file=sys.stderr)
