"""The shipped recipes as text: found by name, fitted to a user's links, recognised again. Comments are kept."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from dr_pipeline.errors import ParamsError

NAMES = (
    "synthetic",
    "idrid",
    "aptos2019",
    "eyepacs",
    "ddr",
    "deepdrid",
    "messidor2_google",
    "folder",
    "datalist",
)
# Links in the data folder that a real recipe reads through.
SOURCE_LINK = "source"
WEIGHTS_LINK = "weights"

_FOLDER = Path(__file__).parent
# The lines that a recipe lets the command fit are those with these comments.
_VALUE = r'(?:"(?:[^"\\]|\\.)*"|\S+)'
_ROOT_LINE = re.compile(
    rf"^(?P<key>  root: ){_VALUE}(?P<rest> +# the link that `recipe --root PATH` made)$", re.MULTILINE
)
_CANDIDATES = re.compile(r"^candidates:.*\n(?P<blocks>(?:  .*\n)+)", re.MULTILINE)
_CANDIDATE = re.compile(r"^  (?P<name>\w+):.*\n(?:    .*\n)+", re.MULTILINE)
_SHA256 = re.compile(r"(?<=\S)#[0-9a-f]{64}")
_WEIGHTS_LINE = re.compile(rf"^(?P<key>    weights: ){_VALUE}(?P<rest> +# --weights (?P<model>\w+): .*)$", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z/][\w./:#-]*")  # a # without a blank before it begins no comment


def recipe_text(name: str) -> str:
    """The recipe as shipped: a complete params.yaml, byte for byte."""
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def reads_source(text: str) -> bool:
    """Whether the recipe reads photographs through the link `source`."""
    return _ROOT_LINE.search(text) is not None


def weights_model(text: str) -> str | None:
    """The timm model whose weights the recipe can take from the link `weights`; None where it takes none."""
    match = _WEIGHTS_LINE.search(text)
    return match["model"] if match else None


def fitted(text: str, *, source: Path | None = None, weights: Path | None = None, sha256: str = "") -> str:
    """The recipe with its root, and the weights of the candidate marked for it, set to these paths.

    DVC does not see the file behind the link; the hash in params.yaml is what re-trains when the weights change.
    """
    if source is not None:
        text = _set(text, _ROOT_LINE, source.as_posix())
    if weights is not None:
        text = _set(text, _WEIGHTS_LINE, f"file:{weights.as_posix()}" + (f"#{sha256}" if sha256 else ""))
    return text


def with_candidates(text: str, names: Sequence[str]) -> str:
    """The recipe with these candidates only, in its own order and with its comments.

    Raises:
        ParamsError: The recipe has no candidate of that name.
    """
    section = _CANDIDATES.search(text)
    if section is None:
        raise ParamsError("the recipe has no section `candidates`")
    blocks = {found["name"]: found[0] for found in _CANDIDATE.finditer(section["blocks"])}
    for name in names:
        if name not in blocks:
            raise ParamsError(f"the recipe has no candidate {name!r}", todo=f"choose among {', '.join(blocks)}")
    kept = "".join(block for name, block in blocks.items() if name in names)
    return text[: section.start("blocks")] + kept + text[section.end("blocks") :]


def is_unedited(text: str, *, source: Path, weights: Path) -> bool:
    """Whether `text` is a shipped recipe, as it is or fitted to these links: then nothing is lost with it."""
    text = _SHA256.sub("", text)
    return any(
        text == fitted(recipe_text(name), source=of_source, weights=of_weights)
        for name in NAMES
        for of_source, of_weights in ((None, None), (source, None), (source, weights))
    )


def _set(text: str, line: re.Pattern[str], value: str) -> str:
    scalar = value if _PLAIN.fullmatch(value) else json.dumps(value)  # JSON's quoting is valid YAML
    return line.sub(lambda found: f"{found['key']}{scalar}{found['rest']}", text)
