"""Reads params.yaml. A stage reads just its own sections, strictly: an error in another section does not stop it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dr_pipeline.errors import ParamsError
from dr_pipeline.logs import logger
from dr_pipeline.params.section import SectionT, closest, validate

# Every top-level key of params.yaml, in its order; `root.Params` has one field for each.
SECTIONS = (
    "dataset",
    "phantom",
    "preprocess",
    "audit",
    "split",
    "quality",
    "pretraining",
    "training",
    "candidates",
    "folds",
    "evaluation",
    "subgroups",
    "external",
    "lesions",
    "operating_point",
    "latency",
    "deployment",
    "promotion",
)
# Sections that older files lack, and what they hold then. DVC needs them in the file.
ADDED: dict[str, Any] = {
    "pretraining": {},
    "subgroups": {"by": ["camera", "site", "quality", "eye", "resolution"], "min_photographs": 20},
    "external": {},
    "lesions": {},
    "promotion": {"margins": {"qwk": 0.02}},
}
# Keys that version 0.1 had, by section. They are still read; a message on standard error gives the new name.
RENAMED = {"preprocess": {"arm": "enhancement"}, "split": {"straddling": "on_group_conflict"}}
_notified: set[str] = set()  # each key is reported once a process


def read_document(path: Path) -> dict[str, Any]:
    """Reads params.yaml as plain values, with keys of older versions under their present names; all keys are text.

    Raises:
        ParamsError: The file is missing, is not YAML, or has an unknown or missing top-level key.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(
            "the parameter file is missing", where=str(path), todo="write one with `dr-pipeline recipe synthetic`"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(
            f"not valid YAML: {error}", where=str(path), todo="fix that line, or compare with `dr-pipeline recipe`"
        ) from None
    if not isinstance(document, dict):
        raise ParamsError("holds no sections", where=str(path), todo="write a new one with `dr-pipeline recipe`")
    for key in document:
        if key not in SECTIONS:
            raise ParamsError(f"unknown section {key!r}{closest(str(key), SECTIONS)}", where=str(path))
    document = ADDED | document
    for key in SECTIONS:
        if key not in document:
            raise ParamsError(f"section {key!r} is missing", where=str(path), todo="compare with `dr-pipeline recipe`")
    present = document | {section: _with_present_keys(document[section], section, path) for section in RENAMED}
    return {section: _with_text_keys(values) for section, values in present.items()}


def load_section(path: Path, dotted: str, model: type[SectionT]) -> SectionT:
    """Reads one section, such as `training` or `candidates.lite0`, as its model.

    Raises:
        ParamsError: A key is unknown (the closest known one is named), missing, or its value out of range.
    """
    value: Any = read_document(path)
    for depth, key in enumerate(dotted.split(".")):
        if not isinstance(value, dict) or key not in value:
            known = [str(k) for k in value] if isinstance(value, dict) else []
            parent = ".".join(dotted.split(".")[:depth]) or "params.yaml"
            raise ParamsError(f"{parent} has no {key!r}{closest(key, known)}", where=str(path))
        value = value[key]
    return validate(value, model, where=f"{path}, {dotted}")


def load_names(path: Path, section: str) -> tuple[str, ...]:
    """The keys of a section that holds named items, such as `candidates`, in the file's order."""
    value = read_document(path)[section]
    if not isinstance(value, dict):
        raise ParamsError(f"{section} holds no named items", where=str(path))
    return tuple(str(key) for key in value)


def load_folds(path: Path) -> tuple[int, ...]:
    """The folds to train; the first one is deployed."""
    folds = read_document(path)["folds"]
    if not isinstance(folds, list) or not folds or any(type(fold) is not int or fold < 0 for fold in folds):
        raise ParamsError(f"folds must be a list of numbers from 0, found {folds!r}", where=str(path))
    return tuple(folds)


def present_key(dotted: str) -> str:
    """The present name of a dotted key, such as `preprocess.enhancement` for `preprocess.arm` of version 0.1."""
    section, _, key = dotted.partition(".")
    new = RENAMED.get(section, {}).get(key)
    if new is None:
        return dotted
    if dotted not in _notified:
        _notified.add(dotted)
        logger.warning("%s is now called %s.%s; please rename it", dotted, section, new)
    return f"{section}.{new}"


def _with_text_keys(value: Any) -> Any:
    """YAML reads the key of {1: right} as a number; JSON, which hashes are made of, has only text."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list) else value


def _with_present_keys(values: Any, section: str, path: Path) -> Any:
    if not isinstance(values, Mapping):
        return values
    renamed = {old: new for old, new in RENAMED[section].items() if old in values}
    for old, new in renamed.items():
        if new in values:
            raise ParamsError(
                f"{section} has {new!r} and its former name {old!r}", where=str(path), todo=f"keep {section}.{new} only"
            )
        present_key(f"{section}.{old}")
    return {renamed.get(key, key): value for key, value in values.items()}
