"""A JSON list in the format of MONAI or nnU-Net v2; see dataset.datalist.

MONAI: `{"training": [{"image": "a.png", "label": 2}], "validation": […], "test": […]}`, see monai/data/
decathlon_datalist.py in the repository Project-MONAI/MONAI. nnU-Net v2: `{"dataset": {"case": {"images": ["a.png"],
"label": 2}}}`, see `get_filenames_of_train_images_and_targets` in nnunetv2/utilities/utils.py of MIC-DKFZ/nnUNet; its
cases are training cases. Paths are relative to the JSON file's folder, as in both, and must be below the root.

A label is a grade 0–4, or null or absent where there is none; the path of a mask is refused. Of an item's other keys,
patient, eye, site, camera, visit, field and grader are read. The list's parts become the official split.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import printable
from dr_pipeline.intake.join import join_labels
from dr_pipeline.intake.label_table import LabelTable, LabelText, check_labels
from dr_pipeline.intake.moved_paths import leads_elsewhere
from dr_pipeline.intake.photographs import ids_from_paths, list_photographs, relative_path, rules_of
from dr_pipeline.intake.records import Intake, Provenance, shortlist
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.schema import Split

_ITEM = 'write {"training": [{"image": …, "label": 0 … 4 or null, "patient": …}, …]}'
PROVENANCE = Provenance(name="JSON list of photographs", licence="the owner's", citation="")
_WHERE = "params.yaml, dataset.datalist"
# The lists' names and their part; "dataset" is nnU-Net's.
PARTS = {
    "training": Split.TRAIN,
    "train": Split.TRAIN,
    "dataset": Split.TRAIN,
    "validation": Split.VALIDATION,
    "val": Split.VALIDATION,
    "testing": Split.TEST,
    "test": Split.TEST,
}
# An item's keys and the fields of `LabelText` that they fill.
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
        DataError: The list is missing, is not JSON or not of this form, or names photographs outside the root.
        ParamsError: `dataset.datalist` is empty or leads outside the root.
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
    rows = [_label(item, part, name=name, table=table, root=root) for name, part, item in items]
    labels = check_labels(rows, where=str(table))
    ignored = {key for _, _, item in items for key in item if key not in {*_KEYS, *_PHOTOGRAPH, "label"}}
    warning = f"{table.name}: keys that are not read: {shortlist(sorted(ignored))}"
    return join_labels(
        list_photographs(root, root, rules=rules_of(dataset)),
        LabelTable(labels.labels, (*labels.warnings, warning) if ignored else labels.warnings),
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
    except (RecursionError, ValueError) as error:  # nested too deep, or a number of thousands of digits
        raise DataError(
            f"the JSON list cannot be read: {error}", where=str(table), todo="save it as UTF-8 JSON"
        ) from None


def _items(document: Any, table: Path) -> Iterator[tuple[str, Split, Mapping[str, Any]]]:
    """Each item with its name in messages and its part."""
    parts = [name for name in document if name in PARTS] if isinstance(document, dict) else []
    if not parts:
        raise DataError(f"none of the lists {', '.join(PARTS)} is present", where=str(table), todo=_ITEM)
    for name in parts:
        content = document[name]
        if not isinstance(content, dict | list):
            raise DataError(f"{name!r} is not a list", where=str(table), todo=_ITEM)
        for key, entry in content.items() if isinstance(content, dict) else enumerate(content):
            # The decathlon's test list has file names only.
            item = {"image": entry} if isinstance(entry, str) else entry
            if not isinstance(item, dict):
                raise DataError(f"{name} {key} is neither an item nor a file name", where=str(table), todo=_ITEM)
            yield f"{name} {key}", PARTS[name], item


def _label(item: Mapping[str, Any], part: Split, *, name: str, table: Path, root: Path) -> LabelText:
    label = item.get("label")
    if isinstance(label, bool) or not isinstance(label, int | float | str | None):
        raise DataError(f"{name}: the label {label!r} is not a grade", where=str(table), todo="write 0 … 4, or null")
    others = {}
    for key, field in _KEYS.items():
        value = item.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # pandas writes integers as 12.0 in a column with a missing value
        if isinstance(value, bool) or not isinstance(value, int | str | None):
            # Without the value, which may be a person's name.
            raise DataError(
                f"{name}: {key} is neither text nor a whole number", where=str(table), todo="write one, or null"
            )
        others[field] = "" if value is None else str(value).strip()
    return LabelText(
        key=_path(item, name=name, table=table, root=root),
        grade="" if label is None else str(label).strip(),
        official_split=part,
        **others,
    )


def _path(item: Mapping[str, Any], *, name: str, table: Path, root: Path) -> str:
    image = item.get("image", item.get("images"))
    names = image if isinstance(image, list) else [image]
    if len(names) != 1 or not isinstance(names[0], str) or not names[0]:
        raise DataError(
            f"{name}: the photograph is {image!r}; exactly one file is expected",
            where=str(table),
            todo="list one file per item",
        )
    given = names[0].replace("\\", "/")
    path = os.path.normpath(table.parent / given)
    for base in (os.path.normpath(root), os.path.realpath(root)):
        if path.startswith(f"{base}{os.sep}"):
            return PurePosixPath(os.path.relpath(path, base)).as_posix()
    if leads_elsewhere(given) and not given.startswith("..") and not os.path.lexists(path):
        return given  # from another machine: the join matches the end of the path, or refuses it
    raise DataError(
        f"{name}: {names[0]!r} is outside the data set's folder", where=str(table), todo="move it below dataset.root"
    )
