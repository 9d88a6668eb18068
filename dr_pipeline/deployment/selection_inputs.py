"""Reads the candidates' files, applies the selection rule to them, and builds reports/selection.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.deployment.selection import RULE, SCHEMA_VERSION, Limits, Selection, SelectionCandidate, select
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import read_json
from dr_pipeline.metrics.bootstrap import paired_qwk_difference
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.graded import read_graded


@dataclass(frozen=True)
class CandidateFiles:
    """One candidate's figures and its grades on the validation photographs.

    Attributes:
        summary: What the rule reads.
        export: export.json.
        latency: Its latency figures.
        two_eye_fusion: Figures with the fellow eye; None where they are not computed.
        image_ids: The validation photographs, sorted.
        groups: Group of each photograph (patients joined by duplicates), the unit of the bootstrap.
        true: Readers' grades, int, shape (N,).
        predicted: The candidate's grades, int, shape (N,).
    """

    summary: SelectionCandidate
    export: dict[str, Any]
    latency: dict[str, Any]
    two_eye_fusion: dict[str, Any] | None
    image_ids: tuple[str, ...]
    groups: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]


def read_candidate(name: str, *, export: Path, predictions: Path, validation: Path, latency: Path) -> CandidateFiles:
    """Reads one candidate from the files of its stages.

    Raises:
        DataError: A file or an entry of it is missing.
    """
    described = read_json(export)
    rows = sorted(read_graded(predictions), key=lambda row: row.image_id)
    try:
        figures = read_json(validation)["validation"][name]
        times = read_json(latency)["latency"][name]
        summary = SelectionCandidate(
            name=name,
            family=described["family"],
            qwk=figures["qwk"],
            referable_sensitivity=figures["referable_sensitivity"],
            p95_ms=times["p95_ms"],
            machine=times["machine"],
        )
    except KeyError as error:
        raise DataError(
            f"the figures of {name} lack {error}", where=f"{validation}, {latency}", todo="dvc repro select"
        ) from None
    return CandidateFiles(
        summary=summary,
        export=described,
        latency=times,
        two_eye_fusion=figures.get("two_eye_fusion"),
        image_ids=tuple(row.image_id for row in rows),
        groups=tuple(row.group for row in rows),
        true=np.array([row.grade for row in rows], dtype=np.int64),
        predicted=np.array([row.predicted for row in rows], dtype=np.int64),
    )


def compare_paired(
    first: CandidateFiles, second: CandidateFiles, *, replicates: int, seed: int, confidence: float
) -> dict[str, Any]:
    """QWK of `first` minus that of `second` on the same photographs, with its interval by group bootstrap.

    Raises:
        GateError: The two were validated on different photographs, groups or grades.
    """
    same = (first.image_ids, first.groups) == (second.image_ids, second.groups)
    if not same or not np.array_equal(first.true, second.true):
        raise GateError(
            f"{first.summary.name} and {second.summary.name} were validated on different photographs",
            where="validation predictions",
            todo="dvc repro select",
        )
    return paired_qwk_difference(
        first.true,
        first.predicted,
        second.predicted,
        first.groups,
        replicates=replicates,
        seed=seed,
        confidence=confidence,
    ).to_dict()


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
    }
    return selection, document


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
                **{key: candidate.latency[key] for key in ("p50_ms", "p95_ms", "p99_ms", "threads")},
                "verdict": row.verdict.value,
                "reasons": list(row.reasons),
                "qwk_behind_leader": row.behind_leader,
                "ensemble": {key: candidate.export["ensemble"][key] for key in ("members", "views", "combine")},
                "two_eye_fusion": candidate.two_eye_fusion,
            }
        )
    return entries
