"""Reads from params.yaml just the sections a stage asks for, strictly."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.section import Section

SectionT = TypeVar("SectionT", bound=Section)

# A number such as 1e-4: YAML 1.1 asks for a dot in it.
_EXPONENT = r"\d+[eE][-+]?\d+"

# Every top-level key params.yaml may have.
SECTIONS = (
    "dataset",
    "phantom",
    "preprocess",
    "audit",
    "split",
    "quality",
    "training",
    "candidates",
    "folds",
    "evaluation",
    "operating_point",
    "latency",
    "deployment",
)


def read_document(path: Path) -> dict[str, Any]:
    """Reads params.yaml as plain values.

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
            f"not valid YAML: {error}", where=str(path), todo="mend that line, or compare with `dr-pipeline recipe`"
        ) from None
    if not isinstance(document, dict):
        raise ParamsError("holds no sections", where=str(path), todo="write it anew with `dr-pipeline recipe`")
    for key in document:
        if key not in SECTIONS:
            raise ParamsError(f"unknown section {key!r}{closest(str(key), SECTIONS)}", where=str(path))
    for key in SECTIONS:
        if key not in document:
            raise ParamsError(f"section {key!r} is missing", where=str(path), todo="compare with `dr-pipeline recipe`")
    return document


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


def validate(value: Any, model: type[SectionT], *, where: str) -> SectionT:
    """Turns plain YAML values into `model`; all faults are listed in one ParamsError."""
    try:
        return model.model_validate(_tuples(value))
    except ValidationError as error:
        raise ParamsError("\n".join(_sentence(fault, model) for fault in error.errors()), where=where) from None


def closest(name: str, known: Iterable[str]) -> str:
    """' (did you mean …?)' where a known name is near, else ''."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _tuples(value: Any) -> Any:
    """YAML has lists; the frozen models have tuples. Integers stand for whole floats as YAML users write them."""
    if isinstance(value, dict):
        return {str(key): _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value


def _sentence(fault: Any, model: type[Section]) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown key {name!r}{closest(str(fault['loc'][-1]), _known_keys(model, fault['loc'][:-1]))}"
    if fault["type"] == "missing":
        return f"key {name!r} is missing"
    hint = ""
    if fault["type"] == "float_type" and isinstance(fault["input"], str) and re.fullmatch(_EXPONENT, fault["input"]):
        hint = f" (YAML takes that as text; write {float(fault['input']):f} or {float(fault['input']):.1e})"
    return f"{name}: {fault['msg'].lower()}, found {fault['input']!r}{hint}"


def _known_keys(model: type[Section], location: tuple[Any, ...]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, Section):
            return []
        model = field.annotation
    return list(model.model_fields)
