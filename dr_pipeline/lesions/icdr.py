"""A second opinion: the grade that the International Clinical DR scale gives to counted lesions.

Rules: Wilkinson et al., Ophthalmology 2003;110:1677. Grade 0: no abnormalities; 1: microaneurysms only; 2: more than
microaneurysms, less than 3; 3: more than 20 hemorrhages in each of four quadrants, venous beading in two, or IRMA in
one; 4: new vessels, or preretinal hemorrhage. Fibrous tissue counts as proliferative too: it is what new vessels leave
(ETDRS report 12, Ophthalmology 1991;98:823, level 61).

It is evidence beside the network's grade and never replaces it. What a network does not look for, or no quadrant can
be given for, leaves an interval of grades.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dr_pipeline.lesions.findings import Findings
from dr_pipeline.lesions.kinds import (
    COTTON_WOOL_SPOTS,
    FIBROUS_TISSUE,
    HARD_EXUDATES,
    HEMORRHAGES,
    IRMA,
    MICROANEURYSMS,
    NEW_VESSELS,
    PRERETINAL_HEMORRHAGES,
    VENOUS_BEADING,
)
from dr_pipeline.lesions.quadrants import QUADRANTS
from dr_pipeline.schema import REFERABLE_FROM, Grade

_MODERATE = (HEMORRHAGES.name, HARD_EXUDATES.name, COTTON_WOOL_SPOTS.name)
_SEVERE = (HEMORRHAGES.name, VENOUS_BEADING.name, IRMA.name)
_PROLIFERATIVE = (NEW_VESSELS.name, PRERETINAL_HEMORRHAGES.name)
SEVERE_HEMORRHAGES = 20  # in each of the four quadrants: more than these
SEVERE_BEADING_QUADRANTS = 2


@dataclass(frozen=True)
class Counts:
    """Lesions of one photograph, as the rules need them.

    Attributes:
        total: Number by kind; a kind that was not looked for is missing.
        by_quadrant: Likewise, by kind and quadrant; None where there are no quadrants.
    """

    total: Mapping[str, int]
    by_quadrant: Mapping[str, Mapping[str, int]] | None

    @classmethod
    def of(cls, findings: Findings) -> "Counts":
        """The counts of what was found."""
        total = {kind: findings.count(kind) or 0 for kind in findings.kinds}
        quadrants = {kind: findings.by_quadrant(kind) for kind in findings.kinds}
        known = {kind: counts for kind, counts in quadrants.items() if counts is not None}
        return cls(total, known or None)

    def quadrants_with_more_than(self, number: int, kind: str) -> int:
        """In how many quadrants there are more than `number` lesions of a kind; 0 without quadrants."""
        counts = (self.by_quadrant or {}).get(kind, {})
        return sum(counts.get(quadrant, 0) > number for quadrant in QUADRANTS)


@dataclass(frozen=True)
class Opinion:
    """The grades that the counts allow.

    Attributes:
        low: The grade that what was found alone gives.
        high: The highest that cannot be excluded.
        evidence: Why `low`, in words.
        limits: What keeps `high` from being `low`, or was not looked for.
    """

    low: Grade
    high: Grade
    evidence: str
    limits: tuple[str, ...]

    def to_text(self) -> str:
        """Such as `grade 2 (3 not excluded): …`."""
        doubt = f" ({self.low + 1} to {self.high} not excluded)" if self.high > self.low + 1 else ""
        doubt = f" ({self.high:d} not excluded)" if self.high == self.low + 1 else doubt
        return f"grade {self.low:d}{doubt}: {self.evidence}"


class Agreement(StrEnum):
    """How the network's answer lies to the second opinion."""

    AGREES = "agrees"
    GRADE = "grade_differs"  # outside the interval
    REFERABLE = "referable_differs"  # one refers, the other does not, whatever was not looked for


def second_opinion(counts: Counts) -> Opinion:
    """The grade by the rules; adding a lesion never lowers it."""
    low, evidence = _seen(counts)
    doubts = [(low, "")]
    if low < Grade.MODERATE:
        doubts += _not_looked_for(counts, (MICROANEURYSMS.name,), Grade.MILD)
        doubts += _not_looked_for(counts, _MODERATE, Grade.MODERATE)
    # Severe and proliferative disease without hemorrhages, exudates or cotton-wool spots is rare: without these, kinds
    # that were not looked for leave no doubt, or every healthy eye would be in doubt.
    if max(doubts)[0] >= Grade.MODERATE:
        if low < Grade.SEVERE:
            doubts += _not_looked_for(counts, _SEVERE, Grade.SEVERE)
            if counts.by_quadrant is None and _severe_is_possible(counts):
                doubts.append((Grade.SEVERE, "has no quadrants"))
        if low < Grade.PROLIFERATIVE:
            doubts += _not_looked_for(counts, _PROLIFERATIVE, Grade.PROLIFERATIVE)
    limits = dict.fromkeys(limit for _, limit in doubts if limit)
    return Opinion(low, max(doubts)[0], evidence, tuple(limits))


def _not_looked_for(counts: Counts, kinds: tuple[str, ...], grade: Grade) -> list[tuple[Grade, str]]:
    """The grade that cannot be excluded, and why, where one of the kinds that make it was not looked for."""
    missing = [_words(kind) for kind in kinds if kind not in counts.total]
    return [(grade, f"does not look for {', '.join(missing)}")] if missing else []


def agreement(opinion: Opinion, *, grade: int, referable: bool) -> Agreement:
    """How the network's grade, and whether it refers, lie to the opinion."""
    if (referable and opinion.high < REFERABLE_FROM) or (not referable and opinion.low >= REFERABLE_FROM):
        return Agreement.REFERABLE
    return Agreement.AGREES if opinion.low <= grade <= opinion.high else Agreement.GRADE


def _seen(counts: Counts) -> tuple[Grade, str]:
    """The grade of what was found, and its evidence."""
    total = counts.total
    proliferative = [_number(total, kind) for kind in (*_PROLIFERATIVE, FIBROUS_TISSUE.name) if total.get(kind)]
    if proliferative:
        return Grade.PROLIFERATIVE, ", ".join(proliferative)
    severe = []
    if counts.quadrants_with_more_than(SEVERE_HEMORRHAGES, HEMORRHAGES.name) == len(QUADRANTS):
        numbers = ", ".join(str((counts.by_quadrant or {})[HEMORRHAGES.name][quadrant]) for quadrant in QUADRANTS)
        severe.append(f"more than {SEVERE_HEMORRHAGES} hemorrhages in each of 4 quadrants ({numbers})")
    beaded = counts.quadrants_with_more_than(0, VENOUS_BEADING.name)
    if beaded >= SEVERE_BEADING_QUADRANTS:
        severe.append(f"venous beading in {beaded} quadrants")
    if total.get(IRMA.name):
        severe.append(_number(total, IRMA.name))
    if severe:
        return Grade.SEVERE, ", ".join(severe)
    moderate = [_number(total, kind) for kind in (*_MODERATE, VENOUS_BEADING.name) if total.get(kind)]
    if moderate:
        return Grade.MODERATE, f"{', '.join(moderate)}, short of the 4-2-1 rule"
    if total.get(MICROANEURYSMS.name):
        return Grade.MILD, f"only {_number(total, MICROANEURYSMS.name)}"
    return Grade.NO_DR, "no lesion found"


def _severe_is_possible(counts: Counts) -> bool:
    """Whether the rule of quadrants might be met, were there quadrants."""
    enough = counts.total.get(HEMORRHAGES.name, 0) >= (SEVERE_HEMORRHAGES + 1) * len(QUADRANTS)
    return enough or counts.total.get(VENOUS_BEADING.name, 0) >= SEVERE_BEADING_QUADRANTS


def _number(total: Mapping[str, int], kind: str) -> str:
    return f"{_words(kind)} ({total[kind]})"


def _words(kind: str) -> str:
    return "IRMA" if kind == IRMA.name else kind.replace("_", " ")
