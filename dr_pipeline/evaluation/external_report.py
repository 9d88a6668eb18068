"""The figures of a bundle on another data set: its operating point locked, a local one shown apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.evaluation.baselines import baselines
from dr_pipeline.evaluation.extended_figures import extended_figures, limits
from dr_pipeline.evaluation.eye_level import eye_figures
from dr_pipeline.evaluation.fellow_eye import held_out_fusion, pair_eyes
from dr_pipeline.evaluation.image_metrics import all_and_gradable
from dr_pipeline.evaluation.recalibration import recalibrate
from dr_pipeline.evaluation.site_figures import figures_by_site
from dr_pipeline.evaluation.uncertainty_figures import uncertainty_measures
from dr_pipeline.metrics.intervals import clustered_proportion, is_estimate
from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
from dr_pipeline.schema import REFERABLE_FROM, VISION_THREATENING_FROM, Status
from dr_pipeline.tables.splits import SplitRow

# Of the bundle's own validation, what is shown beside the figures here.
_INTERNAL = ("qwk", "referable_auc", "referable_sensitivity", "referable_specificity", "brier", "ece", "accuracy")


@dataclass(frozen=True, eq=False)
class ExternalPhotographs:
    """N graded photographs of another data set.

    Attributes:
        rows: Image id, patient, eye, visit, site, group and grade of each.
        statuses: Of each, by the pixel path and the bundle's quality thresholds.
        answered: Positions of the M photographs that the network graded, shape (M,).
        logits: Of those, shape (M, 5).
    """

    rows: Sequence[SplitRow]
    statuses: Sequence[Status]
    answered: NDArray[np.int64]
    logits: NDArray[np.float64]

    def answers(self, decision: Decision) -> Answers:
        """The answers at a decision's operating point; none where the network graded nothing."""
        count, at = len(self.rows), self.answered
        decided = decision.apply(self.logits)
        grade, probabilities = np.full(count, -1, dtype=np.int64), np.full((count, self.logits.shape[1]), np.nan)
        referable, probability = np.zeros(count, dtype=np.bool_), np.full(count, np.nan)
        grade[at], probabilities[at] = decided.grade, decided.probabilities
        referable[at], probability[at] = decided.referable, decided.referable_probability
        return Answers(tuple(self.statuses), grade, probabilities, referable, probability)


def external_report(
    decision: Decision,
    validation: Mapping[str, Any],
    photographs: ExternalPhotographs,
    params: Evaluation,
    targets: OperatingPoint,
) -> dict[str, Any]:
    """The report.

    Args:
        decision: Of the bundle.
        validation: The figures of its own validation, from metadata.json.
        photographs: Of the other data set.
        params: Confidence, bootstrap replicates and their seed.
        targets: What a local recalibration would aim at.

    Returns:
        `figures`: those of `test`, of the photographs that the network graded, and of the gradable ones;
        `intention_to_screen`: of all photographs, those without a grade referred; `limits`: what limits the figures, as
        sentences; `internal`: the bundle's own validation; `recalibration`: with a decision fitted here, each
        photograph graded by one that was fitted on the others' patients, or why there is none; `by_eye`, `by_site`,
        `baselines`, `two_eye_fusion`.

    Raises:
        DataError: No photograph was graded by the network.
    """
    if not len(photographs.answered):
        raise DataError(
            "the network could grade no photograph", where="the data set", todo="see the reasons in the audit"
        )
    true = np.array([row.grade for row in photographs.rows], dtype=np.int64)
    groups = [row.group for row in photographs.rows]
    answers = photographs.answers(decision)
    some = [photographs.rows[position] for position in photographs.answered.tolist()]
    statuses = [photographs.statuses[position] for position in photographs.answered.tolist()]
    decided, graded = decision.apply(photographs.logits), true[photographs.answered]
    units, sites = [row.group for row in some], [row.site for row in some]
    report = {
        "n": len(true),
        "answered": len(some),
        "groups": len(set(groups)),
        "figures": all_and_gradable(decided, graded, units, statuses, params)
        | extended_figures(decided, graded, units, statuses, params, measures=uncertainty_measures(decided, decision)),
        "limits": limits(true, [row.patient_id for row in photographs.rows]),
        "intention_to_screen": intention_to_screen(answers, true, groups, params.confidence),
        "internal": {name: validation[name] for name in _INTERNAL if is_estimate(validation.get(name))},
        "recalibration": _recalibration(decision, photographs, params, targets),
        "by_eye": eye_figures(decided, graded, some, statuses, params),
        "by_site": figures_by_site(decided, graded, units, sites, params),
        "baselines": baselines(
            graded,
            units,
            [row.examination for row in some],
            _majority(validation, graded),
            params,
            grade=decided.grade,
            eyes=[row.eye for row in some],
        ),
    }
    if params.two_eye_fusion:
        pairs = pair_eyes(decided.expected_grade, graded, some, statuses)
        report["two_eye_fusion"] = held_out_fusion(pairs, validation.get("two_eye_fusion", {}), params=params)
    return report


def intention_to_screen(
    answers: Answers, true: NDArray[np.int64], groups: Sequence[str], confidence: float
) -> dict[str, dict[str, Any]]:
    """Figures by intention to screen of N photographs: who has no grade is referred."""

    def share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> dict[str, Any]:
        rows = np.flatnonzero(among)
        return clustered_proportion(hits[rows], [groups[row] for row in rows.tolist()], confidence).to_dict()

    everyone = np.ones(len(true), dtype=np.bool_)
    return {
        "referable_sensitivity": share(answers.referred, true >= REFERABLE_FROM),
        "referable_specificity": share(~answers.referred, true < REFERABLE_FROM),
        "vision_threatening_referred": share(answers.referred, true >= VISION_THREATENING_FROM),
        "referred": share(answers.referred, everyone),
        "without_grade": share(~answers.scored, everyone),
    }


def _recalibration(
    decision: Decision, photographs: ExternalPhotographs, params: Evaluation, targets: OperatingPoint
) -> dict[str, Any]:
    """What a decision fitted on the gradable photographs here would give, held out by patient."""
    positions = photographs.answered.tolist()
    gradable = [place for place, position in enumerate(positions) if photographs.statuses[position] is Status.SCORED]
    rows = [photographs.rows[positions[place]] for place in gradable]
    try:
        fitted = recalibrate(
            decision,
            photographs.logits[gradable],
            np.array([row.grade for row in rows], dtype=np.int64),
            [row.group for row in rows],
            targets=targets,
            params=params,
            provenance={"split": "recalibration"},
        )
    except DataError as error:  # too few photographs, or a grade is missing: the locked figures stand all the same
        return {"n": len(rows), "note": error.what}
    return {"n": len(rows), "decision": fitted.decision.to_dict(), **fitted.report}


def _majority(validation: Mapping[str, Any], here: NDArray[np.int64]) -> int:
    """The commonest grade where the bundle was validated; of bundles that do not state it, here."""
    confusion = validation.get("confusion")
    counts = np.asarray(confusion).sum(axis=1) if confusion else np.bincount(here)
    return int(np.argmax(counts))
