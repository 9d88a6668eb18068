"""Small data sets on disk for the intake's tests. Their photographs are a few bytes: intake never decodes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dr_pipeline.params.dataset import Dataset
from dr_pipeline.params.load import validate

COLUMNS = {
    "image": "image",
    "grade": "grade",
    "patient": "",
    "eye": "",
    "visit": "",
    "site": "",
    "camera": "",
    "grader": "",
}


def dataset(adapter: str, *, labels: str = "", **columns: str) -> Dataset:
    """The section `dataset` as params.yaml would give it."""
    value: dict[str, Any] = {
        "adapter": adapter,
        "root": "unused",
        "folder": {"labels": labels, "columns": {**COLUMNS, **columns}},
    }
    return validate(value, Dataset, where="test")


def photograph(path: Path, content: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((content or path.as_posix()).encode())
    return path


def photographs(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        photograph(folder / name)


def table(path: Path, header: str, rows: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def aptos(root: Path, rows: Sequence[str], files: Iterable[str]) -> Path:
    table(root / "train.csv", "id_code,diagnosis", rows)
    photographs(root / "train_images", files)
    return root
