"""params.yaml as text: values are set, comments and layout stay. Round trips are ruamel.yaml's."""

import io
import json
import re
from collections.abc import Mapping
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken

_WIDTH = 4096  # a long path is not broken over lines
_PLAIN_TEXT = re.compile(r"[A-Za-z][\w.]*")
_AFTER, _AFTER_ITEM = 2, 0  # places of the comment behind a key and behind an item of a list, in ruamel.yaml's lists


def parse(text: str) -> CommentedMap:
    """Reads YAML with its comments."""
    document: CommentedMap = _round_trip().load(text)
    return document


def dump(document: CommentedMap) -> str:
    """The text; what was not changed since `parse` is as it was."""
    stream = io.StringIO()
    _round_trip().dump(document, stream)
    return stream.getvalue()


def with_values(text: str, values: Mapping[str, Any], candidates: Mapping[str, Mapping[str, Any]]) -> str:
    """The text with other values and a new section `candidates`.

    Args:
        text: A params.yaml.
        values: By dotted key; the sections of the keys exist.
        candidates: By name.
    """
    document = parse(text)
    for dotted, value in values.items():
        *sections, key = dotted.split(".")
        mapping = document
        for section in sections:
            mapping = mapping[section]
        set_value(mapping, key, _node(value))
    nodes = {name: CommentedMap({k: _node(v) for k, v in item.items()}) for name, item in candidates.items()}
    set_value(document, "candidates", CommentedMap(nodes))
    return dump(document)


def set_value(mapping: CommentedMap, key: str, value: Any) -> None:
    """Replaces a value; the comment behind its key and the lines up to the next key stay."""
    tail = _take_tail(mapping, key)
    mapping[key] = value
    if tail:
        _append_tail(mapping, key, tail)


def on_one_line(value: Any) -> str:
    """A value on one line, as the recipes have it and as YAML 1.1 and 1.2 both read it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {on_one_line(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(on_one_line(item) for item in value) + "]"
    if isinstance(value, float):
        # YAML 1.1 reads 5e-05 as text
        text = f"{value:.10f}".rstrip("0")
        return text + "0" if text.endswith(".") else text
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) and isinstance(yaml.safe_load(value), str):
        return value
    return json.dumps(value)  # JSON's quoting is valid YAML


def _round_trip() -> YAML:
    loader = YAML()
    loader.preserve_quotes = True
    loader.allow_duplicate_keys = True  # as PyYAML, which reads the parameters
    loader.width = _WIDTH
    loader.representer.add_representer(type(None), _null)
    return loader


def _null(representer: Any, _value: None) -> Any:
    """`null` in full: after the key alone the reader would not see a value."""
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _node(value: Any) -> Any:
    """A value that is written on one line."""
    return _round_trip().load(on_one_line(value))


def _last(mapping: CommentedMap, key: str) -> tuple[CommentedMap | CommentedSeq, Any]:
    """The innermost collection on whose last line the value of a key ends, and the key or place of that line."""
    owner: CommentedMap | CommentedSeq = mapping
    place: Any = key
    value = mapping[key]
    while isinstance(value, CommentedMap | CommentedSeq) and value and not value.fa.flow_style():
        owner, place = value, next(reversed(value)) if isinstance(value, CommentedMap) else len(value) - 1
        value = owner[place]
    return owner, place


def _take_tail(mapping: CommentedMap, key: str) -> str:
    """Removes the blank lines and comments between the value of a key and the next key, and returns them."""
    owner, place = _last(mapping, key)
    tokens = owner.ca.items.get(place)
    token = tokens[_AFTER if isinstance(owner, CommentedMap) else _AFTER_ITEM] if tokens else None
    if token is None:
        return ""
    own, line_end, tail = token.value.partition("\n")
    token.value = own + line_end
    return str(tail)


def _append_tail(mapping: CommentedMap, key: str, tail: str) -> None:
    owner, place = _last(mapping, key)
    index = _AFTER if isinstance(owner, CommentedMap) else _AFTER_ITEM
    tokens = owner.ca.items.setdefault(place, [None, None, None, None])
    if tokens[index] is None:
        tokens[index] = CommentToken("\n", CommentMark(0), None)
    tokens[index].value += tail
