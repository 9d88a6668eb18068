"""What the cells of a label table and the names of class folders mean: grades, eyes and official parts.

A data set may code them (`1` for the right eye) or use words (`No_DR`): `dataset.folder.values` maps them. Case,
blanks, hyphens and underscores make no difference.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from dr_pipeline.errors import ParamsError
from dr_pipeline.intake.records import shortlist
from dr_pipeline.schema import GRADES, Eye, Split

_EYES = {
    "": Eye.UNKNOWN,
    "left": Eye.LEFT,
    "l": Eye.LEFT,
    "os": Eye.LEFT,  # oculus sinister
    "right": Eye.RIGHT,
    "r": Eye.RIGHT,
    "od": Eye.RIGHT,  # oculus dexter
}
_PARTS = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "val": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
}
_GRADES = {str(grade): grade for grade in GRADES}
# "2.0" is 2: pandas writes integers so in a column with an empty cell; "2,0" is Excel's, with a decimal comma.
_WHOLE = re.compile(r"(-?[0-9]+)[.,]0+")
# Between two characters: "-1" is not "1".
_SEPARATORS = re.compile(r"(?<=\S)[\s_-]+(?=\S)")

# Words in the names of a grade, for a proposal that a person checks. Nothing is graded by them.
_NON_PROLIFERATIVE = re.compile(r"non ?prolif\w*|npdr")
_GRADE_WORDS = {
    0: re.compile(r"no ?dr\b|no (apparent )?(diabetic )?retinopathy|\bnone\b|(?<!ab)normal|healthy"),
    1: re.compile(r"mild"),
    2: re.compile(r"moderate"),
    3: re.compile(r"severe"),
    4: re.compile(r"prolif|\bpdr"),
}
_ONE_DIGIT = re.compile(r"(?<!\d)([0-4])(?!\d)")
Value = TypeVar("Value")


@dataclass(frozen=True)
class CodedValues:
    """The meaning of a data set's own words.

    Attributes:
        grades: Grade of each word. Where it has any, other cells are no grades: a scale 1 … 5 must not be mixed with
            0 … 4.
        eyes: Eye of each word, beside left, right, L, R, OS and OD.
        parts: Official part of each word, beside train, training, val, valid, validation, test and testing.
        ungradable: Words that mark an ungradable photograph.
        params_key: The key of params.yaml that holds the maps, for messages; empty where the layout is fixed.
    """

    grades: Mapping[str, int] = field(default_factory=dict)
    eyes: Mapping[str, Eye] = field(default_factory=dict)
    parts: Mapping[str, Split] = field(default_factory=dict)
    ungradable: tuple[str, ...] = ()
    params_key: str = ""

    def grade(self, text: str) -> int | None:
        """The grade that a text names; None where it names none."""
        return self._grades.get(fold(text))

    def eye(self, text: str) -> Eye | None:
        """The eye that a text names, unknown for an empty one; None where it names none."""
        return self._eyes.get(fold(text))

    def part(self, text: str) -> Split | None:
        """The official part that a text names; None where it names none."""
        return self._parts.get(fold(text))

    def is_ungradable(self, text: str) -> bool:
        """Whether a text marks an ungradable photograph."""
        return fold(text) in self._ungradable

    @cached_property
    def _grades(self) -> Mapping[str, int]:
        return _folded(self.grades) or _GRADES

    @cached_property
    def _eyes(self) -> Mapping[str, Eye]:
        return _EYES | _folded(self.eyes)

    @cached_property
    def _parts(self) -> Mapping[str, Split]:
        return _PARTS | _folded(self.parts)

    @cached_property
    def _ungradable(self) -> frozenset[str]:
        return frozenset(map(fold, self.ungradable))


PLAIN = CodedValues()


def fold(text: str) -> str:
    """One spelling of a word: `No_DR`, `no dr` and `No-DR` are equal, and so are `1`, `1.0` and `1,0`."""
    plain = _SEPARATORS.sub(" ", unicodedata.normalize("NFC", text.strip())).casefold()
    whole = _WHOLE.fullmatch(plain)
    return whole[1] if whole else plain


def propose_grade(name: str) -> int | None:
    """The grade that a name seems to mean, for a proposal to the user; None where no grade or several would do."""
    text = _NON_PROLIFERATIVE.sub(" ", fold(name))
    grades = [grade for grade, word in _GRADE_WORDS.items() if word.search(text)]
    if not grades:
        grades = [int(digit) for digit in _ONE_DIGIT.findall(text)]
    return grades[0] if len(grades) == 1 else None


def propose_grades(names: Iterable[str]) -> str:
    """A map for `dataset.folder.values.grade` in YAML, by the user's names; `…` where only a person can tell."""
    proposals = {name: propose_grade(name) for name in dict.fromkeys(names)}
    order = sorted(proposals, key=lambda name: (proposals[name] is None, proposals[name] or 0))
    return "{" + ", ".join(f"{_yaml_key(name)}: {_value(proposals[name])}" for name in order) + "}"


def _value(grade: int | None) -> str:
    return "…" if grade is None else str(grade)


def _yaml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z][\w-]*", name) else f"{name!r}"


def _folded(values: Mapping[str, Value]) -> dict[str, Value]:
    folded = {fold(word): value for word, value in values.items()}
    contradicting = [word for word, value in values.items() if folded[fold(word)] != value]
    if contradicting:
        raise ParamsError(
            f"words that differ only in case or separators have two meanings: {shortlist(contradicting)}",
            where="params.yaml, dataset.folder.values",
            todo="keep the right one",
        )
    return folded
