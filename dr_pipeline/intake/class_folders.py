"""Reads grade and official part from the folders that photographs lie in: `2/a.jpg`, `train/No_DR/a.png`.

The class is the first folder, below the folder of an official part where there is one. Folders around all of them, such
as `archive/colored_images/`, do not count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.intake.coded_values import CodedValues, propose_grade
from dr_pipeline.intake.label_table import map_grades_todo
from dr_pipeline.intake.records import MAX_LISTED, shortlist
from dr_pipeline.schema import Split

_ARRANGE = (
    "arrange the photographs in class folders 0 … 4, also below train, val and test; or name a label table in "
    "params.yaml under dataset.folder.labels"
)


@dataclass(frozen=True)
class Placed:
    """What a photograph's folders say.

    Attributes:
        grade: 0–4; None where the class is ungradable.
        part: The official part; None where there is none.
    """

    grade: int | None
    part: Split | None


def read_class_folders(photographs: Sequence[str], values: CodedValues, *, where: Path) -> dict[str, Placed]:
    """The grade and part of each photograph that is in a class folder; others are absent.

    Args:
        photographs: Paths below the root.
        values: What the folders' names mean.
        where: The root, for messages.

    Raises:
        DataError: No photograph is in a class folder, a folder whose name looks like a grade has none, or class
            folders are below a folder that is no part.
    """
    folders = _without_wrappers({path: PurePosixPath(path).parent.parts for path in photographs}, values)
    parts = {path: _part(inner, values) for path, inner in folders.items()}
    for part in set(parts.values()) - {None}:
        of_part = {path: inner[1:] for path, inner in folders.items() if parts[path] is part}
        folders |= _without_wrappers(of_part, values)
    classes = {path: inner[0] if inner else "" for path, inner in folders.items()}
    placed = {
        path: Placed(values.grade(name), parts[path]) for path, name in classes.items() if _is_class(name, values)
    }
    _refuse_classes_elsewhere({path: inner for path, inner in folders.items() if path not in placed}, values, where)
    names = sorted({name for path, name in classes.items() if name and path not in placed})
    doubtful = [name for name in names if name.lstrip("-").isdecimal() or propose_grade(name) is not None]
    known = list(values.grades) or ["0", "1", "2", "3", "4"]
    if doubtful:
        raise DataError(
            f"class folders other than {', '.join(known)}: {shortlist(doubtful)}",
            where=str(where),
            todo=_todo(sorted({name for path, name in classes.items() if path in placed} | set(doubtful)), values),
        )
    if not any(place.grade is not None for place in placed.values()):
        names = names or sorted({PurePosixPath(path).parent.name for path in photographs} - {""})
        raise DataError(
            f"no photograph is in a class folder named {', '.join(known[:-1])} or {known[-1]}; "
            f"found {f'the folders {shortlist(names)}' if names else 'no folder'}",
            where=str(where),
            todo=_todo(names, values),
        )
    return placed


def _refuse_classes_elsewhere(folders: Mapping[str, tuple[str, ...]], values: CodedValues, where: Path) -> None:
    """Class folders below another folder are another part, or a copy of the set: only the user knows."""
    holders = sorted({inner[0] for inner in folders.values() if any(_is_class(name, values) for name in inner[1:])})
    if holders:
        raise DataError(
            f"folders that are no class and no official part contain class folders: {shortlist(holders)}",
            where=str(where),
            todo="say in params.yaml which part each is, such as dataset.folder.values.part: "
            f"{{{holders[0]}: train}}; or leave it out: dataset.ignore: [{holders[0]}]",
        )


def _is_class(name: str, values: CodedValues) -> bool:
    return values.grade(name) is not None or values.is_ungradable(name)


def _without_wrappers(folders: Mapping[str, tuple[str, ...]], values: CodedValues) -> dict[str, tuple[str, ...]]:
    """Strips the outer folders that all share and that are neither a class nor a part."""
    inner = dict(folders)
    while True:
        outer = {parts[0] for parts in inner.values() if parts}
        if len(outer) != 1 or _means_something(name := outer.pop(), values):
            return inner
        inner = {path: parts[1:] if parts[:1] == (name,) else parts for path, parts in inner.items()}


def _means_something(name: str, values: CodedValues) -> bool:
    return _is_class(name, values) or values.part(name) is not None or propose_grade(name) is not None


def _part(folders: Sequence[str], values: CodedValues) -> Split | None:
    return values.part(folders[0]) if folders and values.grade(folders[0]) is None else None


def _todo(names: Sequence[str], values: CodedValues) -> str:
    if not names or len(names) > MAX_LISTED:
        return _ARRANGE
    return (
        f"{map_grades_todo([*values.grades, *names], values)}; or {_ARRANGE}; or leave folders out with dataset.ignore"
    )
