"""Patient, eye, visit and site from a path, by a pattern such as `{site}/{patient}_{visit}_{eye}.*`."""

import re

from dr_pipeline.errors import ParamsError
from dr_pipeline.files import printable
from dr_pipeline.intake.coded_values import PLAIN
from dr_pipeline.schema import Eye
from dr_pipeline.scoring.sources.person import UNKNOWN, Person

_NAMES = ("patient", "eye", "visit", "site")
_EYE = "left|right|os|od|l|r"
_PIECES = re.compile(r"\{(?P<name>[^{}]*)\}|(?P<wild>\*)|(?P<text>[^{}*]+)|(?P<wrong>[{}])")
_WHERE = "--pattern"


class PathPattern:
    """Reads paths by a pattern that fits their end, whole folder and file names at a time.

    A field stands for one or more characters of one name, `{eye}` for left, right, OS, OD, L or R, `*` for any
    characters of one name; case makes no difference. A path that the pattern fits in more than one way is not read: in
    `a_b_c.jpg`, `{patient}_{visit}.jpg` cannot know whose visit it is.

    Args:
        text: The pattern.

    Raises:
        ParamsError: It has no field, an unknown one, one twice, or a brace without its other.
    """

    def __init__(self, text: str) -> None:
        pieces = list(_PIECES.finditer(text))
        names = [piece["name"] for piece in pieces if piece["name"] is not None]
        unknown = [name for name in names if name not in _NAMES]
        if unknown or any(piece["wrong"] for piece in pieces):
            what = f"the pattern has an unknown field {{{unknown[0]}}}" if unknown else "the pattern has a single brace"
            raise ParamsError(what, where=_WHERE, todo=f"fields are {', '.join(f'{{{name}}}' for name in _NAMES)}")
        if not names or len(set(names)) < len(names):
            raise ParamsError(
                "the pattern has a field twice" if names else "the pattern has no field",
                where=_WHERE,
                todo="write for example {site}/{patient}_{visit}_{eye}.*",
            )
        shortest, longest = ("".join(_regex(piece, lazy) for piece in pieces) for lazy in ("?", ""))
        # Where the first match with the shortest fields is that with the longest, it is the only one.
        self._ways = [re.compile(f"(?:.*/)?{way}", re.IGNORECASE | re.DOTALL) for way in (shortest, longest)]

    def person(self, relative: str) -> Person:
        """The path's fields; all empty where the pattern does not fit, or fits in several ways."""
        first, last = (way.fullmatch(printable(relative)) for way in self._ways)
        if first is None or last is None or first.regs != last.regs:
            return UNKNOWN
        values = first.groupdict(default="")
        return Person(
            patient_id=values.get("patient", ""),
            eye=PLAIN.eye(values.get("eye", "")) or Eye.UNKNOWN,
            visit=values.get("visit", ""),
            site=values.get("site", ""),
        )


def _regex(piece: re.Match[str], lazy: str) -> str:
    if piece["name"] == "eye":
        return f"(?P<eye>{_EYE})"
    if piece["name"]:
        return f"(?P<{piece['name']}>[^/]+{lazy})"
    return f"[^/]*{lazy}" if piece["wild"] else re.escape(piece["text"])
