"""How far two bundles agree on the same photographs, without labels: grades, referrals, and what is graded at all."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.bootstrap import qwk_estimate
from dr_pipeline.metrics.intervals import clustered_proportion, format_estimate
from dr_pipeline.metrics.kappa import confusion_matrix
from dr_pipeline.schema import RESEARCH_USE, Status
from dr_pipeline.tables.agreement import AgreementRow
from dr_pipeline.tables.predictions import PredictionRow

_REPLICATES, _SEED, _CONFIDENCE = 1000, 20, 0.95
_COMPARED = ("grade", "expected_grade", "referable", "referable_probability", "needs_human")


@dataclass(frozen=True)
class Pair:
    """One file as champion and challenger scored it; None: the challenger found no such file, or other bytes in it."""

    champion: PredictionRow
    challenger: PredictionRow | None

    @property
    def graded(self) -> bool:
        """Whether both gave a grade."""
        return self.champion.grade is not None and self.challenger is not None and self.challenger.grade is not None

    @property
    def group(self) -> str:
        """What is resampled as a whole: a patient; where unknown, photographs with the same pixels."""
        row = self.champion
        return f"patient {row.site} {row.patient_id}" if row.patient_id else row.duplicate_of or row.image_id


def pair_rows(champion: Iterable[PredictionRow], challenger: Iterable[PredictionRow]) -> Iterator[Pair]:
    """Each row of the champion with the challenger's of the same file."""
    others = {row.image_id: row for row in challenger}
    for row in champion:
        other = others.get(row.image_id)
        same = other is not None and (other.path, other.sha256) == (row.path, row.sha256)
        yield Pair(row, other if same else None)


def agreement_row(pair: Pair, *, bundle_ids: tuple[str, str]) -> AgreementRow:
    """The row of the table."""
    sides = {"champion": pair.champion, "challenger": pair.challenger}
    cells = {f"{side}_{name}": getattr(row, name) for side, row in sides.items() if row for name in _COMPARED}
    return AgreementRow(
        image_id=pair.champion.image_id,
        path=pair.champion.path,
        sha256=pair.champion.sha256,
        champion_status=pair.champion.status,
        challenger_status=None if pair.challenger is None else pair.challenger.status,
        champion_bundle_id=bundle_ids[0],
        challenger_bundle_id=bundle_ids[1],
        **cells,
    )


def agreement_report(pairs: Sequence[Pair], *, bundle_ids: tuple[str, str]) -> dict[str, Any]:
    """The figures, as OUT.agreement.json has them.

    Args:
        pairs: All files.
        bundle_ids: Of champion and challenger.

    Returns:
        `qwk` between the grades, `changed_grades` and `changed_referrals` as fractions of the photographs that both
        graded, each {"value", "low", "high", "n"}; counts; `statuses` by the champion's, then the challenger's status;
        `confusion` with the champion's grades in rows.
    """
    graded = [(pair.champion, pair.challenger) for pair in pairs if pair.graded and pair.challenger]
    groups = [pair.group for pair in pairs if pair.graded]
    grades, referable = (
        np.array([[getattr(row, name) for row in rows] for rows in graded], dtype=np.int64).reshape(-1, 2)
        for name in ("grade", "referable")
    )
    steps, referrals = grades[:, 1] - grades[:, 0], referable[:, 1] - referable[:, 0]
    return {
        "champion": bundle_ids[0],
        "challenger": bundle_ids[1],
        "files": len(pairs),
        "not_compared": sum(pair.challenger is None for pair in pairs),
        "statuses": _statuses(pairs),
        "graded_by_both": len(graded),
        "groups": len(set(groups)),
        "qwk": qwk_estimate(
            grades[:, 0], grades[:, 1], groups, replicates=_REPLICATES, seed=_SEED, confidence=_CONFIDENCE
        ).to_dict(),
        "changed_grades": _changed(steps, groups) | {"by_more_than_one": int((np.abs(steps) > 1).sum())},
        "changed_referrals": _changed(referrals, groups),
        "confusion": confusion_matrix(grades[:, 0], grades[:, 1]).tolist(),
        "confidence": _CONFIDENCE,
        "intervals": "qwk: bootstrap by patient, expanded percentiles; fractions: Wilson at the effective sample size "
        "of patients; a photograph of an unknown patient counts as a patient, copies of it as the same",
        "research_use": RESEARCH_USE,
    }


def agreement_text(report: dict[str, Any]) -> str:
    """The figures in a sentence."""
    grades, referrals = report["changed_grades"], report["changed_referrals"]
    left = [f"{report['not_compared']} files changed between the two"] if report["not_compared"] else []
    other = sum(n for one, row in report["statuses"].items() for another, n in row.items() if one != another)
    status = [f"{other} with another status"] if other else []
    return "; ".join(
        [
            f"challenger {report['challenger']} beside champion {report['champion']}: "
            f"kappa between them {format_estimate(report['qwk'])}",
            f"changed grades {grades['up'] + grades['down']}, fraction {format_estimate(grades)}",
            f"changed referrals {referrals['up'] + referrals['down']} ({referrals['up']} new, {referrals['down']} no "
            f"longer), fraction {format_estimate(referrals)}",
            *status,
            *left,
        ]
    )


def _changed(steps: NDArray[np.int64], groups: Sequence[str]) -> dict[str, Any]:
    fraction = clustered_proportion(steps != 0, groups, _CONFIDENCE).to_dict()
    return fraction | {"up": int((steps > 0).sum()), "down": int((steps < 0).sum())}


def _statuses(pairs: Sequence[Pair]) -> dict[str, dict[str, int]]:
    counts = Counter((pair.champion.status, pair.challenger.status) for pair in pairs if pair.challenger)
    return {
        one.value: {another.value: counts[one, another] for another in Status if counts[one, another]}
        for one in Status
        if any(counts[one, another] for another in Status)
    }
