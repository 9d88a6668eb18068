"""`recipe --lesions ADAPTER:FOLDER`: a data set with masks of lesions, and the section that it gets in params.yaml."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml.comments import CommentedMap

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.params.yaml_text import dump, parse

_FILE = Path(__file__).with_name("lesions.yaml")
_EVERY = "every"  # what the entry of each adapter has
_DRAWN = "synthetic"  # its photographs are made by the stage `phantom`: they may not be there yet


@dataclass(frozen=True)
class LesionArgument:
    """A data set with masks.

    Attributes:
        adapter: As in `lesions.NAME.data.adapter`.
        root: Its folder: absolute, but for the adapter `synthetic`, whose folder a stage makes.
    """

    adapter: str
    root: Path

    @classmethod
    def parse(cls, text: str) -> "LesionArgument":
        """Reads the argument.

        Raises:
            ParamsError: It is not of the form ADAPTER:FOLDER, or there is no such adapter.
            DataError: There is no such folder.
        """
        adapter, _, root = text.partition(":")
        adapters = sorted(_read().keys() - {_EVERY})
        if adapter not in adapters or not root:
            raise ParamsError(
                f"not a data set with masks of lesions: {text!r}",
                where="--lesions",
                todo=f"write ADAPTER:FOLDER with one of the adapters {', '.join(adapters)}",
            )
        folder = Path(root).expanduser()
        if adapter != _DRAWN and not folder.is_dir():
            raise DataError("the folder of the masks is missing", where=f"--lesions {text}", todo="correct its path")
        return cls(adapter, folder if adapter == _DRAWN else folder.resolve())

    @property
    def is_linked(self) -> bool:
        """Whether the folder is the user's own, which params.yaml names by a link."""
        return self.adapter != _DRAWN


def lesion_section(adapter: str) -> CommentedMap:
    """The section `lesions` with the shipped entry for an adapter, with its comments."""
    document = _read()
    section: CommentedMap = document[adapter]
    for entry in section.values():
        own = entry.pop("training", {})
        entry.update(document[_EVERY])
        entry["training"].update(own)
    return section


def lesion_values(adapter: str) -> dict[str, Any]:
    """The same without comments, as plain values."""
    values: dict[str, Any] = yaml.safe_load(dump(lesion_section(adapter)))
    return values


def _read() -> CommentedMap:
    return parse(re.sub(r"\n{2,}", "\n", _FILE.read_text(encoding="utf-8")))
