"""In which order a person reads a batch: first the photographs whose grade is worth most.

Uncertainty sampling of active learning by the entropy of the probabilities (Settles, "Active Learning Literature
Survey", University of Wisconsin-Madison, 2009, section 3.1), within groups that a clinic needs in this order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from dr_pipeline.errors import DataError
from dr_pipeline.schema import NUM_GRADES, Status
from dr_pipeline.tables.predictions import PredictionRow

# Probabilities are written with six decimals.
_SUM_TOLERANCE = 1e-3


class Group(IntEnum):
    """Why a photograph stands where it does; groups come in this order."""

    ASKS_FOR_A_PERSON = 0
    UNGRADABLE = 1
    OTHER_GRADED = 2
    NOT_FUNDUS = 3
    FAILED = 4
    SEEN_BEFORE = 5


GROUP_TEXTS = {
    Group.ASKS_FOR_A_PERSON: "graded, but the program asks for a person: most uncertain first",
    Group.UNGRADABLE: "ungradable for the program: best quality first",
    Group.OTHER_GRADED: "graded without a question: most uncertain first",
    Group.NOT_FUNDUS: "not a fundus photograph",
    Group.FAILED: "no picture could be read",
    Group.SEEN_BEFORE: "the same picture as an earlier row",
}


@dataclass(frozen=True)
class RankedRow:
    """A row with its place in the order.

    Attributes:
        number: Of the row in its table, from 1.
        row: The row.
        group: Its group.
        uncertainty: 0 (certain) to 1 (all grades equally likely); None without probabilities.
    """

    number: int
    row: PredictionRow
    group: Group
    uncertainty: float | None


def uncertainty(probabilities: Sequence[float]) -> float:
    """The entropy of the grades' probabilities over its maximum: 0 to 1.

    Raises:
        ValueError: They are no probabilities.
    """
    if not all(0 <= p <= 1 for p in probabilities) or abs(sum(probabilities) - 1) > _SUM_TOLERANCE:
        raise ValueError(f"{', '.join(map(str, probabilities))} are not probabilities that add up to 1")
    entropy = -sum(p * math.log(p) for p in probabilities if p > 0)
    return min(1.0, max(0.0, entropy / math.log(NUM_GRADES)))


def rank(rows: Sequence[PredictionRow], *, where: str) -> list[RankedRow]:
    """The rows, most informative first; rows that nothing separates keep the order of the table.

    Args:
        rows: In the order of their table.
        where: The table, for messages.

    Raises:
        DataError: A row has probabilities that are none.
    """
    return sorted((_ranked(number, row, where) for number, row in enumerate(rows, start=1)), key=_sort_key)


def _ranked(number: int, row: PredictionRow, where: str) -> RankedRow:
    try:
        value = None if row.probabilities is None else uncertainty(row.probabilities)
    except ValueError as error:
        raise DataError(str(error), where=f"{where}, photograph {number}", todo="score the photographs again") from None
    return RankedRow(number, row, _group(row), value)


def _group(row: PredictionRow) -> Group:
    if row.duplicate_of:
        return Group.SEEN_BEFORE
    match row.status:
        case Status.SCORED:
            return Group.ASKS_FOR_A_PERSON if row.needs_human else Group.OTHER_GRADED
        case Status.UNGRADABLE:
            return Group.UNGRADABLE
        case Status.NOT_FUNDUS:
            return Group.NOT_FUNDUS
        case Status.FAILED:
            return Group.FAILED


def _sort_key(ranked: RankedRow) -> tuple[int, float, int]:
    value = ranked.row.quality if ranked.group is Group.UNGRADABLE else ranked.uncertainty
    return ranked.group, -(value or 0.0), ranked.number
