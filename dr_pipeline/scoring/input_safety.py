"""Outputs that would take the place of what is read, or be read as photographs the next time, are refused at once."""

from collections.abc import Iterable
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.objects import is_address


def require_not_read(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Checks that no file is written that is read too: it would be lost.

    Args:
        outputs: Files to be written; None: not asked for.
        inputs: Files that are read; None: not named.

    Raises:
        DataError: One is.
    """
    read = {path.resolve() for path in inputs if path is not None}
    for output in outputs:
        if output is not None and output.resolve() in read:
            raise DataError(
                "this file is read here, and would be written over", where=printable(output), todo="name another file"
            )


def require_apart(folder: Path, sources: Iterable[str], entries: Iterable[Entry] = ()) -> None:
    """Checks that a folder of pictures is none in which photographs are read.

    There a picture could be written over the photograph of the same name, and would be a photograph of the next run.

    Args:
        folder: To be written.
        sources: Of the photographs, as `score` takes them.
        entries: The photographs of these sources; those of a list lie anywhere.

    Raises:
        DataError: It is one of the sources, lies inside one, or holds a photograph that is read.
    """
    place = folder.resolve()
    folders = {Path(source).resolve() for source in sources if not is_address(source)}
    own = {Path(entry.location).resolve().parent for entry in entries if not is_address(entry.location)}
    if folders & {place, *place.parents} or place in own:
        raise DataError(
            "pictures would lie among the photographs, and be written over them or read as such later",
            where=printable(folder),
            todo="name a folder outside the photographs'",
        )
