"""Renders photographs with an engine: ordered results, bounded memory, errors that name the file."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, NoReturn

from dr_pipeline.canvases.render import RenderedImage, Source, render_photograph
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import DataError
from dr_pipeline.fundus.pixel_path import PixelPath

# A photograph takes less than a second; a network drive that is away for a while is no fault of the file.
_TIME_LIMIT_S = 600.0


@dataclass(frozen=True)
class RenderTask:
    """The work of an engine that preprocesses.

    Attributes:
        pixel_path: Applied to each photograph.
        places: The folder of the photographs.
    """

    pixel_path: PixelPath
    places: tuple[Path, ...]
    modules: ClassVar[tuple[str, ...]] = ("dr_pipeline.canvases.render", "dr_pipeline.engines.local")

    def setup(self) -> Callable[[Source], RenderedImage]:
        """The work on one photograph."""
        return partial(render_photograph, pixel_path=self.pixel_path)

    def failed(self, source: Source, reason: str) -> NoReturn:
        """Stops the run; what crashes a decoder is for a person to look at.

        Raises:
            DataError: Always.
        """
        raise DataError(
            f"preprocess failed: {reason}",
            where=str(source.path),
            todo="see whether the machine is out of memory; else remove this file from the data set",
        )


def render_all(
    sources: Iterable[Source], root: Path, pixel_path: PixelPath, engines: EngineChoice
) -> Iterator[RenderedImage]:
    """Yields each source's result, in order.

    Args:
        sources: The photographs.
        root: Their folder.
        pixel_path: Applied to each.
        engines: Where the work is done.

    Raises:
        DataError: A worker died on a file or hung, and the message names it.
    """
    with engines.engine(RenderTask(pixel_path, (root,)), time_limit_s=_TIME_LIMIT_S) as engine:
        for _, image in engine.results(sources):
            yield image
