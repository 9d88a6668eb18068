"""Applies the selection rule to the candidates' files, and builds reports/selection.json."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dr_pipeline.deployment.candidate_formats import FLOAT32_FORMAT, REFUSAL, candidate_of
from dr_pipeline.deployment.cascade import Stage, evaluate_cascades
from dr_pipeline.deployment.format_gate import FormatComparison, FormatGate, compare_with_float32
from dr_pipeline.deployment.selection import (
    RULE,
    SCHEMA_VERSION,
    Limits,
    Selection,
    SelectionCandidate,
    Verdict,
    select,
)
from dr_pipeline.deployment.selection_inputs import CandidateFiles, compare_paired
from dr_pipeline.errors import GateError
from dr_pipeline.schema import RESEARCH_USE

_TIMES = ("p50_ms", "p95_ms", "p99_ms", "threads")
_FACTS = ("model", "family", "parameters", "input_px")


def _require_same_photographs(candidates: Sequence[CandidateFiles]) -> None:
    first = candidates[0]
    for other in candidates[1:]:
        split = all(first.export[key] == other.export[key] for key in ("splits_sha256", "fold"))
        same = (first.image_ids, first.groups) == (other.image_ids, other.groups)
        if not (split and same and np.array_equal(first.true, other.true)):
            raise GateError(
                f"{first.summary.name} and {other.summary.name} were validated on different "
                f"{'photographs' if split else 'splits'}",
                where="validation predictions",
                todo="dvc repro select",
            )


def select_candidate(
    candidates: Mapping[str, CandidateFiles],
    limits: Limits,
    gate: FormatGate,
    *,
    unwritten: Mapping[str, Mapping[str, Any]],
    replicates: int,
    seed: int,
    confidence: float,
) -> tuple[Selection, dict[str, Any]]:
    """Applies the rule.

    Args:
        candidates: By name, in the order of params.yaml; a candidate's formats by names such as `lite0/onnx-int8`.
        limits: The limits of a deployable candidate.
        gate: What a format of fewer bits may change.
        unwritten: The export.json of each format that could not be written, by name: rows without figures.
        replicates: Of the paired bootstrap.
        seed: Of the paired bootstrap.
        confidence: Such as 0.95.

    Returns:
        The selection, and the document of reports/selection.json.

    Raises:
        GateError: Latencies of different machines, other validation photographs, or no candidate is deployable.
    """
    _require_same_photographs(list(candidates.values()))
    bootstrap: Any = {"replicates": replicates, "seed": seed, "confidence": confidence}
    formats = {
        name: compare_with_float32(candidates[candidate_of(name)], files, gate, **bootstrap)
        for name, files in candidates.items()
        if name != candidate_of(name)
    }

    def paired(first: str, second: str) -> dict[str, Any]:
        return compare_paired(candidates[first], candidates[second], **bootstrap)

    def summary(name: str, files: CandidateFiles) -> SelectionCandidate:
        return replace(files.summary, refusals=formats[name].refusals) if name in formats else files.summary

    selection = select([summary(name, files) for name, files in candidates.items()], limits, paired)
    stages = {name: files for name, files in candidates.items() if name not in formats or not formats[name].refusals}
    document = {
        "schema_version": SCHEMA_VERSION,
        "research_use": RESEARCH_USE,
        "chosen": selection.chosen,
        "leader": selection.leader,
        "rule": RULE,
        "limits": limits.to_dict(),
        "machine": candidates[selection.chosen].summary.machine,
        "candidates": [
            *_table(selection, candidates, formats),
            *(_unwritten_row(name, facts) for name, facts in unwritten.items()),
        ],
        "cascades": _cascades(stages, limits, **bootstrap),
    }
    return selection, document


def _cascades(
    candidates: Mapping[str, CandidateFiles], limits: Limits, *, replicates: int, seed: int, confidence: float
) -> list[dict[str, Any]]:
    """What two networks would do together: figures only, since a bundle holds one network."""
    measured = [item for item in candidates.values() if "mean_ms" in item.latency]
    stages = [
        Stage(
            name=item.summary.name,
            grade=item.predicted,
            expected=item.expected,
            cut_points=item.decision.cut_points,
            mean_ms=item.latency["mean_ms"],
            p95_ms=item.latency["p95_ms"],
            network_ms=item.latency["steps_ms"]["network"],
        )
        for item in measured
        if item.summary.family in limits.families
    ]
    if not stages:
        return []
    return evaluate_cascades(
        stages,
        measured[0].true,
        measured[0].groups,
        budget_ms=limits.latency_budget_ms,
        replicates=replicates,
        seed=seed,
        confidence=confidence,
    )


def _table(
    selection: Selection, candidates: Mapping[str, CandidateFiles], formats: Mapping[str, FormatComparison]
) -> list[dict[str, Any]]:
    """One entry per candidate, in the order given: its figures and its outcome."""
    entries = []
    for row in selection.rows:
        candidate = candidates[row.name]
        entries.append(
            {
                "candidate": row.name,
                "format": candidate.export.get("format", FLOAT32_FORMAT),
                **{key: candidate.export[key] for key in _FACTS},
                "qwk": candidate.summary.qwk,
                "referable_sensitivity": candidate.summary.referable_sensitivity,
                **{key: candidate.latency.get(key) for key in _TIMES},
                "megabytes": round(candidate.summary.megabytes, 1),
                "memory_mib": candidate.summary.memory_mib,
                "verdict": row.verdict.value,
                "reasons": list(row.reasons),
                "qwk_behind_leader": row.behind_leader,
                "ensemble": _ensemble(candidate.export),
                "two_eye_fusion": candidate.two_eye_fusion,
                "against_float32": formats[row.name].to_dict() if row.name in formats else None,
            }
        )
    return entries


def _unwritten_row(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a format that could not be written."""
    nothing = {"value": None, "low": None, "high": None, "n": 0, "note": "not written"}
    return {
        "candidate": name,
        "format": facts["format"],
        **{key: facts[key] for key in _FACTS},
        "qwk": nothing,
        "referable_sensitivity": nothing,
        **dict.fromkeys(_TIMES),
        "megabytes": None,
        "memory_mib": None,
        "verdict": Verdict.UNFIT.value,
        "reasons": [facts[REFUSAL]],
        "qwk_behind_leader": None,
        "ensemble": _ensemble(facts),
        "two_eye_fusion": None,
        "against_float32": None,
    }


def _ensemble(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: facts["ensemble"][key] for key in ("members", "views", "combine")}
