"""Applies the selection rule to the candidates' files, and builds reports/selection.json."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dr_pipeline.deployment.candidate_formats import FLOAT32_FORMAT, REFUSAL
from dr_pipeline.deployment.cascade import not_worth_it
from dr_pipeline.deployment.format_gate import FormatComparison, FormatGate, compare_formats
from dr_pipeline.deployment.selection import (
    RULE,
    SCHEMA_VERSION,
    Limits,
    Selection,
    Verdict,
    select,
)
from dr_pipeline.deployment.selection_inputs import CandidateFiles, compare_paired, require_same_photographs
from dr_pipeline.schema import RESEARCH_USE

_TIMES = ("p50_ms", "p95_ms", "p99_ms", "threads")
_FACTS = ("model", "family", "parameters", "input_px")


def select_candidate(
    candidates: Mapping[str, CandidateFiles],
    limits: Limits,
    gate: FormatGate,
    *,
    unwritten: Mapping[str, Mapping[str, Any]],
    cascades: Mapping[str, CandidateFiles],
    pairs: Sequence[Mapping[str, Any]],
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
        cascades: The exported cascades, by name: candidates too.
        pairs: The row of each pair of networks, as `cascade` wrote it.
        replicates: Of the paired bootstrap.
        seed: Of the paired bootstrap.
        confidence: Such as 0.95.

    Returns:
        The selection, and the document of reports/selection.json.

    Raises:
        GateError: Latencies of different machines, other validation photographs, or no candidate is deployable.
    """
    everything = {**candidates, **cascades}
    require_same_photographs(list(everything.values()))
    bootstrap: Any = {"replicates": replicates, "seed": seed, "confidence": confidence}

    def paired(first: str, second: str) -> dict[str, Any]:
        return compare_paired(everything[first], everything[second], **bootstrap)

    formats = compare_formats(candidates, gate, **bootstrap)
    refusals = {name: comparison.refusals for name, comparison in formats.items()}
    for pair in pairs:
        if pair["name"]:
            refusals[pair["name"]] = _cascade_refusals(pair, everything, refusals, paired, gate.qwk_margin)
    summaries = [replace(files.summary, refusals=refusals.get(name, ())) for name, files in everything.items()]
    selection = select(summaries, limits, paired)
    document = {
        "schema_version": SCHEMA_VERSION,
        "research_use": RESEARCH_USE,
        "chosen": selection.chosen,
        "leader": selection.leader,
        "rule": RULE,
        "limits": limits.to_dict(),
        "machine": everything[selection.chosen].summary.machine,
        "candidates": [
            *_table(selection, everything, formats),
            *(_unwritten_row(name, facts) for name, facts in unwritten.items()),
        ],
        "cascades": [{**pair, "deployed": pair["name"] == selection.chosen} for pair in pairs],
    }
    return selection, document


def _cascade_refusals(
    pair: Mapping[str, Any],
    candidates: Mapping[str, CandidateFiles],
    refusals: Mapping[str, tuple[str, ...]],
    paired: Callable[[str, str], dict[str, Any]],
    qwk_margin: float,
) -> tuple[str, ...]:
    """Why an exported cascade may not be deployed, by its own grades and its own time on the target."""
    name, small, large = pair["name"], pair["small"], pair["large"]
    latencies = [candidates[each].latency for each in (name, large)]
    reasons = [f"{member} may not be deployed either" for member in (small, large) if refusals.get(member)]
    if all("mean_ms" in latency for latency in latencies):  # what was not measured is refused as such
        relative_time = latencies[0]["mean_ms"] / latencies[1]["mean_ms"]
        reasons.append(not_worth_it(paired(name, small), paired(name, large), relative_time, qwk_margin=qwk_margin))
    return tuple(filter(None, reasons))


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
