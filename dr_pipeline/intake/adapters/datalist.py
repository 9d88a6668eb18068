"""A JSON list of photographs and grades, as MONAI and nnU-Net v2 users have them; `dataset.datalist` names it.

MONAI: `{"training": [{"image": "a.png", "label": 2}], "validation": […], "test": […]}`, see monai/data/
decathlon_datalist.py in the repository Project-MONAI/MONAI. nnU-Net v2: `{"dataset": {"case": {"images": ["a.png"],
"label": 2}}}`, see `get_filenames_of_train_images_and_targets` in nnunetv2/utilities/utils.py of MIC-DKFZ/nnUNet; its
cases are training ones. Paths are relative to the JSON file's folder, as in both, and lead to files below the root.

A label is a grade 0–4, or null or absent where there is none; the path of a mask is no grade and is refused. Of an
item's other keys patient, eye, site, camera, visit, field and grader are taken over. The list's parts become the
official split.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import printable
from dr_pipeline.intake.image_ids import ids_from_paths
from dr_pipeline.intake.labels import LabelTable, labels_from
from dr_pipeline.intake.layout import labelled
from dr_pipeline.intake.listing import list_photographs, relative_path
from dr_pipeline.intake.records import Intake, Provenance, listed
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.schema import Split

_ITEM = 'write {"training": [{"image": …, "label": 0 … 4 or null, "patient": …}, …]}'
PROVENANCE = Provenance(name="JSON list of photographs", licence="the owner's", citation="")
_WHERE = "params.yaml, dataset.datalist"
# The lists' names and what they are for; "dataset" is nnU-Net's.
PARTS = {
    "training": Split.TRAIN,
    "train": Split.TRAIN,
    "dataset": Split.TRAIN,
    "validation": Split.VALIDATION,
    "val": Split.VALIDATION,
    "testing": Split.TEST,
    "test": Split.TEST,
}
# An item's keys and the manifest's columns that they fill.
_KEYS = {
    "patient": "patient_id",
    "eye": "eye",
    "site": "site",
    "camera": "camera",
    "visit": "visit",
    "field": "field",
    "grader": "grader",
}
_PHOTOGRAPH = ("image", "images")


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads the list and the photographs below the root; those that the list does not name are orphans.

    Raises:
        DataError: The list is missing, no JSON or not of this form, or names photographs outside the root.
        ParamsError: `dataset.datalist` is empty or leads out of the root.
    """
    relative = relative_path(dataset.datalist) if dataset.datalist else None
    if relative is None:
        raise ParamsError(
            f"dataset.datalist is {dataset.datalist!r}",
            where=_WHERE,
            todo="name the JSON list, relative to dataset.root",
        )
    table = root / relative
    if not table.is_file():
        raise DataError(
            "the JSON list is missing", where=printable(table), todo="check dataset.root and dataset.datalist"
        )
    items = list(_items(_document(table), table))
    if not items:
        raise DataError("the JSON list names no photograph", where=printable(table), todo=_ITEM)
    cells = [_cells(item, part, name=name, table=table, root=root) for name, part, item in items]
    labels = labels_from(cells, where=str(table))
    ignored = Counter(key for _, _, item in items for key in item if key not in {*_KEYS, *_PHOTOGRAPH, "label"})
    told = (f"{table.name}: keys that are not read: {listed(sorted(ignored))}",) if ignored else ()
    return labelled(
        list_photographs(root, root),
        LabelTable(labels.labels, (*labels.warnings, *told)),
        where=str(table),
        provenance=PROVENANCE,
        name_ids=ids_from_paths,
    )


def _document(table: Path) -> Any:
    try:
        return json.loads(table.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"the JSON list cannot be read: {error.strerror}",
            where=str(table),
            todo="check dataset.datalist in params.yaml",
        ) from None
    except (RecursionError, ValueError) as error:  # nested without end, or a number of thousands of digits
        raise DataError(
            f"the JSON list cannot be read: {error}", where=str(table), todo="save it as UTF-8 JSON"
        ) from None


def _items(document: Any, table: Path) -> Iterator[tuple[str, Split, Mapping[str, Any]]]:
    """Each item with the words that name it in messages, and its part."""
    parts = [name for name in document if name in PARTS] if isinstance(document, dict) else []
    if not parts:
        raise DataError(f"none of the lists {', '.join(PARTS)} is there", where=str(table), todo=_ITEM)
    for name in parts:
        content = document[name]
        if not isinstance(content, dict | list):
            raise DataError(f"{name!r} is no list", where=str(table), todo=_ITEM)
        for key, given in content.items() if isinstance(content, dict) else enumerate(content):
            # The decathlon's test list has file names only.
            item = {"image": given} if isinstance(given, str) else given
            if not isinstance(item, dict):
                raise DataError(f"{name} {key} is neither an item nor a file name", where=str(table), todo=_ITEM)
            yield f"{name} {key}", PARTS[name], item


def _cells(item: Mapping[str, Any], part: Split, *, name: str, table: Path, root: Path) -> dict[str, str]:
    label = item.get("label")
    if isinstance(label, bool) or not isinstance(label, int | float | str | None):
        raise DataError(f"{name}: the label {label!r} is no grade", where=str(table), todo="write 0 … 4, or null")
    named = {}
    for key, column in _KEYS.items():
        value = item.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # pandas writes a column of integers as 12.0 once one of them was missing
        if isinstance(value, bool) or not isinstance(value, int | str | None):
            # Without the value, which may be a person's name.
            raise DataError(
                f"{name}: {key} is neither text nor a whole number", where=str(table), todo="write one, or null"
            )
        named[column] = "" if value is None else str(value).strip()
    return {
        "key": _path(item, name=name, table=table, root=root),
        "grade": "" if label is None else str(label).strip(),
        **named,
        "official_split": part,
    }


def _path(item: Mapping[str, Any], *, name: str, table: Path, root: Path) -> str:
    given = item.get("image", item.get("images"))
    names = given if isinstance(given, list) else [given]
    if len(names) != 1 or not isinstance(names[0], str) or not names[0]:
        raise DataError(
            f"{name}: the photograph is {given!r}; exactly one file is wanted",
            where=str(table),
            todo="list one file per item",
        )
    path = os.path.normpath(table.parent / names[0].replace("\\", "/"))
    for base in (os.path.normpath(root), os.path.realpath(root)):
        if path.startswith(f"{base}{os.sep}"):
            return PurePosixPath(os.path.relpath(path, base)).as_posix()
    raise DataError(
        f"{name}: {names[0]!r} lies outside the data set's folder", where=str(table), todo="put it below dataset.root"
    )
