"""params.yaml as text with other values in it: every other line, and the comments, stay."""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

_LINE = re.compile(r"^(?P<indent> *)(?P<key>[\w]+):(?P<value>[^#\n]*?)(?P<rest>\s+#[^\n]*)?$")
_PLAIN_TEXT = re.compile(r"[A-Za-z][\w.]*")
_SECTION = "candidates"
_WITHOUT_COMMENTS = "# Written by `dr-pipeline plan`; the comments of the file before could not be kept.\n"


def edited(
    text: str, document: Mapping[str, Any], values: Mapping[str, Any], candidates: Mapping[str, Mapping[str, Any]]
) -> str:
    """The text with `values` and a new section `candidates`.

    Args:
        text: The present params.yaml.
        document: What the result must hold, as plain values.
        values: By dotted key.
        candidates: By name.

    Returns:
        Text that YAML reads as `document`. Where the lines cannot be edited (a section on one line, say), everything
        is written anew, without comments.
    """
    lines = _with_candidates(_with_values(text.splitlines(), values), candidates)
    result = "\n".join(lines) + "\n"
    if _reads_as(result, document):
        return result
    return _WITHOUT_COMMENTS + yaml.safe_dump(_plain(document), sort_keys=False, allow_unicode=True, width=120)


def _reads_as(text: str, document: Mapping[str, Any]) -> bool:
    try:
        return bool(_plain(yaml.safe_load(text)) == _plain(document))
    except yaml.YAMLError:  # a section on one line, with lines under it
        return False


def _with_values(lines: list[str], values: Mapping[str, Any]) -> list[str]:
    result: list[str] = []
    path: list[tuple[int, str]] = []  # indentation and key of the sections around a line
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            result.append(line)
            continue
        indent = len(found["indent"])
        path = [*((depth, key) for depth, key in path if depth < indent), (indent, found["key"])]
        dotted = ".".join(key for _, key in path)
        if dotted not in values:
            result.append(line)
            continue
        start = f"{found['indent']}{found['key']}: {on_one_line(values[dotted])}"
        comment = (found["rest"] or "").lstrip()
        column = len(line) - len(comment)  # where the comment stood
        result.append(f"{start:{column - 1}} {comment}" if comment else start)
    return result


def _with_candidates(lines: list[str], candidates: Mapping[str, Mapping[str, Any]]) -> list[str]:
    start = next((number for number, line in enumerate(lines) if line.startswith(f"{_SECTION}:")), None)
    if start is None:
        return lines
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][0] in " #"):
        end += 1
    while not lines[end - 1].strip() or lines[end - 1].startswith("#"):  # these belong to the next section
        end -= 1
    body = []
    for name, values in candidates.items():
        body.append(f"  {name}:")
        body += [f"    {key}: {on_one_line(value)}" for key, value in values.items()]
    return [*lines[: start + 1], *body, *lines[end:]]


def on_one_line(value: Any) -> str:
    """A value on one line, as the recipes write them."""
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


def _plain(value: Any) -> Any:
    """Lists for tuples, so that what was proposed and what YAML reads compare."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
