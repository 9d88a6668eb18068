"""Reads DVC's records: the hashes of the data a stage depends on, from dvc.yaml and dvc.lock."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dr_pipeline.tracking.layout import Item

_TEMPLATE = re.compile(r"\$\{([^}]+)\}")
# Written by the stage `code`; a stage's own file in it is a tag of its own.
_CODE = "data/code"


def data_hashes(
    stage: str, item: Item | None, *, dvc_yaml: Path, lock: Path, params: Mapping[str, Any]
) -> dict[str, str]:
    """The md5 of everything another stage made that `stage` reads, by its path.

    While a stage runs, dvc.lock still holds that stage's previous entry, or none; what the stages before it made is
    already there. So dvc.yaml says *which* files the stage reads and the other stages' outputs in dvc.lock say
    *what* they are. The code version is not among them.

    Args:
        stage: A stage's name in dvc.yaml, without its matrix suffix.
        item: The matrix item, for the stages that have one.
        dvc_yaml: The pipeline; a missing file gives no hashes, as in a folder without DVC.
        lock: What DVC has recorded; a missing file gives no hashes.
        params: The document of params.yaml, which dvc.yaml's templates name.
    """
    values = dict(params)
    if item is not None:
        values["item"] = {"candidate": item.candidate, "fold": item.fold}
    definition = _read(dvc_yaml).get("stages", {}).get(stage, {})
    reads = [_resolve(_path(entry), values) for entry in definition.get("deps", ())]
    made = _outputs(_read(lock))
    return {path: made[path] for path in sorted(made) if path != _CODE and any(_overlap(path, read) for read in reads)}


def _outputs(lock: Mapping[str, Any]) -> dict[str, str]:
    entries = (out for stage in lock.get("stages", {}).values() for out in stage.get("outs", ()))
    return {entry["path"]: entry["md5"] for entry in entries if "md5" in entry}


def _path(entry: Any) -> str:
    """A dependency as dvc.yaml has it: a path, or a path with options under it."""
    return str(next(iter(entry)) if isinstance(entry, dict) else entry)


def _resolve(text: str, values: Mapping[str, Any]) -> str:
    """Puts values into DVC's templates, such as `${item.candidate}` and `${folds[0]}`."""

    def value(match: re.Match[str]) -> str:
        found: Any = values
        for step in re.findall(r"[^.\[\]]+", match[1]):
            found = found[int(step)] if isinstance(found, list) else found[step]
        return str(found)

    return _TEMPLATE.sub(value, text)


def _overlap(output: str, read: str) -> bool:
    """Whether the output is what is read, lies in it, or holds it."""
    return output == read or output.startswith(f"{read}/") or read.startswith(f"{output}/")


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document if isinstance(document, dict) else {}
