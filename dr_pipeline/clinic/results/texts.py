"""A patient's result in plain words, from templates that a programme can copy and translate."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Formatter
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.schema import NUM_GRADES
from dr_pipeline.tables.result_eyes import EyeStatus
from dr_pipeline.tables.result_patients import Decision, PatientResult, Reason

LANGUAGES = ("en", "es", "zh")

# Every key of the file, with the words in braces that its text holds, each once.
_KEYS: dict[str, tuple[str, ...]] = {
    "language": (),
    "reviewed_by": (),
    "unreviewed": (),
    "reviewed": ("reviewed_by",),
    "research_use": (),
    **{f"grades.{grade}": () for grade in range(NUM_GRADES)},
    "time.one_month": (),
    "time.months": ("months",),
    **{f"refer.{urgency}": ("time",) for urgency in ("soon", "urgent", "immediate")},
    **{f"rescreen.{eyes}": () for eyes in ("right", "left", "both")},
    "recall.routine": ("time",),
    "person.any": (),
    **{f"person.{reason}": () for reason in list(Reason)[:4]},
    "person.referable": (),
    **{f"{eye}.graded": ("grade",) for eye in ("right", "left")},
    **{f"{eye}.{status}": () for eye in ("right", "left") for status in ("ungradable", "missing")},
    "notes.needs_human": (),
}
_MAY_BE_EMPTY = ("reviewed_by",)
_TODO = "compare it with the file it is a copy of"


@dataclass(frozen=True)
class Texts:
    """The checked sentences of one language.

    Attributes:
        sentences: By key, such as `refer.urgent`.
    """

    sentences: Mapping[str, str]

    @classmethod
    def load(cls, name: str) -> "Texts":
        """Reads the sentences.

        Args:
            name: A language that is shipped (en, es, zh), or the path of a TOML file.

        Raises:
            DataError: The file is missing or no TOML; a key is missing, unknown or no text; a text lacks a word in
                braces or has another one.
        """
        source = resources.files(__package__) / "languages" / f"{name}.toml" if name in LANGUAGES else Path(name)
        try:
            parsed = tomllib.loads(source.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(
                f"the sentences cannot be read: {error.strerror}",
                where=name,
                todo=f"name one of {', '.join(LANGUAGES)}, or the path of a copy of such a file",
            ) from None
        except ValueError as error:  # no UTF-8, or no TOML
            raise DataError(f"not a TOML file: {error}", where=name, todo=_TODO) from None
        sentences = dict(_flat(parsed))
        for key in sorted({*_KEYS, *sentences}):
            _check(key, sentences, where=name)
        return cls(sentences)

    @property
    def language(self) -> str:
        """BCP 47 code."""
        return self.sentences["language"]

    @property
    def is_reviewed(self) -> bool:
        """Whether somebody put a name to the wording."""
        return bool(self.sentences["reviewed_by"].strip())

    @property
    def notice(self) -> str:
        """What every text ends with: research use, and whether the wording was reviewed."""
        reviewer = self.sentences["reviewed_by"]
        review = self._of("reviewed", reviewed_by=reviewer) if self.is_reviewed else self._of("unreviewed")
        return f"{self._of('research_use')} {review}"

    def describe(self, patient: PatientResult) -> str:
        """The result of one examination, without the patient's name or number."""
        return " ".join([*self._decision(patient), *self._eyes(patient), *self._notes(patient), self.notice])

    def _decision(self, patient: PatientResult) -> Iterator[str]:
        match patient.decision:
            case Decision.PERSON:
                yield self._of("person.any")
                yield from (self._of(f"person.{reason}") for reason in patient.reasons.split(";"))
                if patient.any_referable:
                    yield self._of("person.referable")
            case Decision.RESCREEN:
                statuses = {"right": patient.right, "left": patient.left}
                again = [eye for eye, status in statuses.items() if status != EyeStatus.GRADED]
                yield self._of(f"rescreen.{again[0] if len(again) == 1 else 'both'}")
            case _:
                yield self._of(f"{patient.decision}.{patient.urgency}", time=self._time(patient.within_months or 0))

    def _eyes(self, patient: PatientResult) -> Iterator[str]:
        right, left = (patient.right, patient.right_grade), (patient.left, patient.left_grade)
        for eye, (status, grade) in (("right", right), ("left", left)):
            if grade is not None:
                yield self._of(f"{eye}.graded", grade=self._of(f"grades.{grade}"))
            elif status:
                yield self._of(f"{eye}.{status}")

    def _notes(self, patient: PatientResult) -> Iterator[str]:
        if patient.needs_human and patient.decision is not Decision.PERSON:
            yield self._of("notes.needs_human")

    def _time(self, months: int) -> str:
        return self._of("time.one_month") if months == 1 else self._of("time.months", months=str(months))

    def _of(self, key: str, **words: str) -> str:
        return self.sentences[key].format(**words)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"a": {"b": "x"}, "c": ["y"]}` → `a.b`: x, `c.0`: y."""
    for name, value in values.items():
        if isinstance(value, list):
            value = {str(number): item for number, item in enumerate(value)}
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _check(key: str, sentences: Mapping[str, Any], *, where: str) -> None:
    if key not in sentences:
        raise DataError(f"the sentence {key!r} is missing", where=where, todo=_TODO)
    if key not in _KEYS:
        raise DataError(f"there is no sentence {key!r}", where=where, todo=_TODO)
    text = sentences[key]
    if not isinstance(text, str) or not (text.strip() or key in _MAY_BE_EMPTY):
        raise DataError(f"the sentence {key!r} is no text, or empty", where=where, todo=_TODO)
    try:
        parts = Formatter().parse(text)
        words = [(name, conversion, form) for _, name, form, conversion in parts if name is not None]
    except ValueError as error:
        raise DataError(f"the sentence {key!r}: {error}", where=where, todo=_TODO) from None
    if words != [(name, None, "") for name in _KEYS[key]]:
        needed = ", ".join(f"{{{name}}}" for name in _KEYS[key]) or "none"
        raise DataError(
            f"the sentence {key!r} needs these words in braces, once each: {needed}", where=where, todo=_TODO
        )
