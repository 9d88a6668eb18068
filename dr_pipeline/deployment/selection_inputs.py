"""Reads the candidates' files, applies the selection rule to them, and builds reports/selection.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.deployment.cascade import Stage, evaluate_cascades
from dr_pipeline.deployment.selection import RULE, SCHEMA_VERSION, Limits, Selection, SelectionCandidate, select
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import read_json
from dr_pipeline.metrics.bootstrap import paired_qwk_difference
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.scoring.latency_file import read_latency_file
from dr_pipeline.tables.graded import read_graded

MACHINE = "machine"  # the target: the machine of the stage `latency`
_TIMES = ("p50_ms", "p95_ms", "p99_ms", "threads")


@dataclass(frozen=True)
class CandidatePaths:
    """Where one candidate's stages wrote.

    Attributes:
        export: Folder that `export` wrote.
        validation: Folder that `validate` wrote.
        figures: Its validation figures (JSON).
        latency: Its latency figures of this machine (JSON).
    """

    export: Path
    validation: Path
    figures: Path
    latency: Path


@dataclass(frozen=True)
class CandidateFiles:
    """One candidate's figures and its grades on the validation photographs.

    Attributes:
        summary: What the rule reads.
        export: export.json.
        latency: Its latency figures on the target; empty: it was not measured there.
        two_eye_fusion: Figures with the fellow eye; None where they are not computed.
        decision: As deployed.
        image_ids: The validation photographs, sorted.
        groups: Group of each photograph (patients joined by duplicates), the unit of the bootstrap.
        true: Readers' grades, int, shape (N,).
        predicted: The candidate's grades, int, shape (N,).
        expected: The candidate's expected grades, shape (N,).
    """

    summary: SelectionCandidate
    export: dict[str, Any]
    latency: Mapping[str, Any]
    two_eye_fusion: dict[str, Any] | None
    decision: Decision
    image_ids: tuple[str, ...]
    groups: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    expected: NDArray[np.float64]


def read_candidate(name: str, paths: CandidatePaths, *, target: str = MACHINE) -> CandidateFiles:
    """Reads one candidate from the files of its stages.

    Args:
        name: Its name in params.yaml.
        paths: Where they lie.
        target: MACHINE, or a file of `bench latency`, where the candidate is found by the hash of its network.

    Raises:
        DataError: A file or an entry of it is missing.
    """
    export = read_json(paths.export / "export.json")
    rows = sorted(read_graded(paths.validation / "predictions.csv"), key=lambda row: row.image_id)
    try:
        figures = read_json(paths.figures)["validation"][name]
        machine, times = _latency(name, paths, export["onnx_sha256"], target)
        summary = SelectionCandidate(
            name=name,
            family=export["family"],
            qwk=figures["qwk"],
            referable_sensitivity=figures["referable_sensitivity"],
            p95_ms=times["p95_ms"] if times else None,
            machine=machine,
            megabytes=(paths.export / "model.onnx").stat().st_size / 1e6,
            memory_mib=times.get("peak_memory_mib"),
            conditions=_conditions(times) if times else "",
            how_to_measure=_how_to_measure(paths, target),
        )
    except KeyError as error:
        raise DataError(
            f"the figures of {name} lack {error}", where=f"{paths.figures}, {paths.latency}", todo="dvc repro select"
        ) from None
    return CandidateFiles(
        summary=summary,
        export=export,
        latency=times,
        two_eye_fusion=figures.get("two_eye_fusion"),
        decision=Decision.from_dict(read_json(paths.validation / "decision.json")),
        image_ids=tuple(row.image_id for row in rows),
        groups=tuple(row.group for row in rows),
        true=np.array([row.grade for row in rows], dtype=np.int64),
        predicted=np.array([row.predicted for row in rows], dtype=np.int64),
        expected=np.array([row.expected_grade for row in rows], dtype=np.float64),
    )


def _latency(name: str, paths: CandidatePaths, sha256: str, target: str) -> tuple[str, Mapping[str, Any]]:
    """The target's fingerprint and the figures there; these are empty where the network was not measured."""
    if target == MACHINE:
        times = read_json(paths.latency)["latency"][name]
        return times["machine"], times
    measured = read_latency_file(Path(target))
    return measured.machine["fingerprint"], measured.networks.get(sha256, {})


def _conditions(times: Mapping[str, Any]) -> str:
    photographs = times.get("photographs_sha256")
    return f"{times['threads']} thread(s)" + (f", photographs {photographs[:8]}" if photographs else "")


def _how_to_measure(paths: CandidatePaths, target: str) -> str:
    return (
        f"there, `dr-pipeline bench latency FOLDER --candidate {paths.export} {paths.validation} GRADABILITY.json "
        f"--out {target}` with these files copied; then `dvc repro -f select`"
    )


def compare_paired(
    first: CandidateFiles, second: CandidateFiles, *, replicates: int, seed: int, confidence: float
) -> dict[str, Any]:
    """QWK of `first` minus that of `second` on the same photographs, with its interval by group bootstrap."""
    return paired_qwk_difference(
        first.true,
        first.predicted,
        second.predicted,
        first.groups,
        replicates=replicates,
        seed=seed,
        confidence=confidence,
    ).to_dict()


def _require_same_photographs(candidates: Sequence[CandidateFiles]) -> None:
    first = candidates[0]
    for other in candidates[1:]:
        same = (first.image_ids, first.groups) == (other.image_ids, other.groups)
        if not same or not np.array_equal(first.true, other.true):
            raise GateError(
                f"{first.summary.name} and {other.summary.name} were validated on different photographs",
                where="validation predictions",
                todo="dvc repro select",
            )


def select_candidate(
    candidates: Mapping[str, CandidateFiles], limits: Limits, *, replicates: int, seed: int, confidence: float
) -> tuple[Selection, dict[str, Any]]:
    """Applies the rule.

    Args:
        candidates: By name, in the order of params.yaml.
        limits: The limits of a deployable candidate.
        replicates: Of the paired bootstrap.
        seed: Of the paired bootstrap.
        confidence: Such as 0.95.

    Returns:
        The selection, and the document of reports/selection.json.

    Raises:
        GateError: Latencies of different machines, other validation photographs, or no candidate is deployable.
    """
    _require_same_photographs(list(candidates.values()))

    def paired(first: str, second: str) -> dict[str, Any]:
        return compare_paired(
            candidates[first], candidates[second], replicates=replicates, seed=seed, confidence=confidence
        )

    selection = select([candidate.summary for candidate in candidates.values()], limits, paired)
    document = {
        "schema_version": SCHEMA_VERSION,
        "research_use": RESEARCH_USE,
        "chosen": selection.chosen,
        "leader": selection.leader,
        "rule": RULE,
        "limits": limits.to_dict(),
        "machine": candidates[selection.chosen].summary.machine,
        "candidates": _table(selection, candidates),
        "cascades": _cascades(candidates, limits, replicates=replicates, seed=seed, confidence=confidence),
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


def _table(selection: Selection, candidates: Mapping[str, CandidateFiles]) -> list[dict[str, Any]]:
    """One entry per candidate, in the order given: its figures and its outcome."""
    entries = []
    for row in selection.rows:
        candidate = candidates[row.name]
        entries.append(
            {
                "candidate": row.name,
                **{key: candidate.export[key] for key in ("model", "family", "parameters", "input_px")},
                "qwk": candidate.summary.qwk,
                "referable_sensitivity": candidate.summary.referable_sensitivity,
                **{key: candidate.latency.get(key) for key in _TIMES},
                "megabytes": round(candidate.summary.megabytes, 1),
                "memory_mib": candidate.summary.memory_mib,
                "verdict": row.verdict.value,
                "reasons": list(row.reasons),
                "qwk_behind_leader": row.behind_leader,
                "ensemble": {key: candidate.export["ensemble"][key] for key in ("members", "views", "combine")},
                "two_eye_fusion": candidate.two_eye_fusion,
            }
        )
    return entries
