"""The base of all sections of params.yaml: strict, frozen, without defaults; and how their errors are worded."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from dr_pipeline.errors import ParamsError

# YAML 1.1 reads a number such as 1e-4 as text: it needs a dot.
_EXPONENT = r"\d+[eE][-+]?\d+"
# pydantic's words for Python types, in YAML's words.
_YAML_TYPES = {
    "model_type": "input should be a mapping",
    "dict_type": "input should be a mapping of names",
    "tuple_type": "input should be a list",
}
_KEY_OF_MAPPING = "[key]"
_CONTRADICTION = "contradiction"


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


SectionT = TypeVar("SectionT", bound=Section)


def validate(value: Any, model: type[SectionT], *, where: str) -> SectionT:
    """Parses plain YAML values into `model`.

    Args:
        value: As YAML gives it.
        model: The section's class.
        where: Named in the error: the file and the section.

    Raises:
        ParamsError: Lists every unknown or missing key and every value out of range, one a line.
    """
    try:
        return model.model_validate(_with_tuples(value))
    except ValidationError as error:
        raise ParamsError(
            "\n".join(_sentence(fault, model) for fault in _own_faults(error.errors())),
            where=where,
            todo="correct each; compare with `dr-pipeline recipe NAME`",
        ) from None


def contradiction(key: str, message: str) -> PydanticCustomError:
    """The error of a validator that compares several keys: the key to change, and what to do."""
    return PydanticCustomError(_CONTRADICTION, "{message}", {"message": message, "key": key})


def closest(name: str, known: Iterable[str]) -> str:
    """' (did you mean …?)' where a known name is near, else ''."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _own_faults(faults: Sequence[Any]) -> list[Any]:
    """Without the lists that are "too short" only because pydantic does not count their faulty items."""
    places = [fault["loc"] for fault in faults]

    def follows(fault: Any) -> bool:
        own = fault["loc"]
        return fault["type"] == "too_short" and any(len(at) > len(own) and at[: len(own)] == own for at in places)

    return [fault for fault in faults if not follows(fault)]


def _with_tuples(value: Any) -> Any:
    """YAML has lists, the frozen models have tuples; keys that YAML reads as numbers become text."""
    if isinstance(value, dict):
        return {str(key): _with_tuples(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_with_tuples(item) for item in value)
    return value


def _with_lists(value: Any) -> Any:
    """As in the file."""
    if isinstance(value, dict):
        return {key: _with_lists(item) for key, item in value.items()}
    return [_with_lists(item) for item in value] if isinstance(value, tuple) else value


def _sentence(fault: Any, model: type[Section]) -> str:
    location = tuple(part for part in fault["loc"] if part != _KEY_OF_MAPPING)
    name = ".".join(str(part) for part in location)
    if fault["type"] == "extra_forbidden":
        return f"unknown key {name!r}{closest(str(location[-1]), _known_keys(model, location[:-1]))}"
    if fault["type"] == "missing":
        return f"key {name!r} is missing"
    message = _YAML_TYPES.get(fault["type"], fault["msg"][:1].lower() + fault["msg"][1:])
    if fault["type"] == "too_short":
        return f"{name}: at least {fault['ctx']['min_length']} needed, found none"
    if fault["type"] == _CONTRADICTION:
        return f"{'.'.join(filter(None, (name, fault['ctx']['key'])))}: {message}"
    given = fault["input"]
    hint = ""
    if fault["type"] == "float_type" and isinstance(given, str) and re.fullmatch(_EXPONENT, given):
        hint = f" (YAML reads that as text; write {float(given):f} or {float(given):.1e})"
    return f"{name}: {message}, found {_with_lists(given)!r}{hint}"


def _known_keys(model: type[Section], location: tuple[Any, ...]) -> list[str]:
    parts = iter(map(str, location))
    for key in parts:
        inner = section_of(model, key)
        if inner is None:
            return []
        annotation: Any = model.model_fields[key].annotation
        if annotation is not inner:
            next(parts, None)  # the name of an item
        model = inner
    return list(model.model_fields)


def section_of(model: type[Section], key: str) -> type[Section] | None:
    """The section below a key: its own class, or that of the named items (`phantom`, `candidates`); else None."""
    field = model.model_fields.get(key)
    options = () if field is None else (field.annotation, *get_args(field.annotation))
    for option in options:
        if isinstance(option, type) and issubclass(option, Section):
            return option
    return None
