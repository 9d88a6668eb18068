"""Reads what is known of each candidate, compares two on the same photographs, and tables the selection."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.deployment.selection import Entrant, Selection
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import read_csv, read_json
from dr_pipeline.metrics.bootstrap import paired_qwk_difference


@dataclass(frozen=True)
class Candidate:
    """One candidate's figures and its grades of the validation photographs.

    Attributes:
        entrant: What the rule needs.
        export: export.json.
        latency: Its figures.
        two_eye_fusion: Figures with the fellow eye; None where they are not asked for.
        image_ids: The validation photographs, sorted.
        groups: Of each photograph: patients joined by duplicates, the unit of the bootstrap.
        true: Grade by the readers, int, shape (N,).
        predicted: Grade by the candidate, int, shape (N,).
    """

    entrant: Entrant
    export: dict[str, Any]
    latency: dict[str, Any]
    two_eye_fusion: dict[str, Any] | None
    image_ids: tuple[str, ...]
    groups: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]


def read_candidate(name: str, *, export: Path, predictions: Path, validation: Path, latency: Path) -> Candidate:
    """Reads one candidate from the files of its stages.

    Raises:
        DataError: A file or an entry of it is missing.
    """
    described = read_json(export)
    rows = sorted(
        read_csv(predictions, ("image_id", "group", "grade", "predicted")), key=lambda row: str(row["image_id"])
    )
    try:
        figures = read_json(validation)["validation"][name]
        times = read_json(latency)["latency"][name]
        entrant = Entrant(
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
    return Candidate(
        entrant=entrant,
        export=described,
        latency=times,
        two_eye_fusion=figures.get("two_eye_fusion"),
        image_ids=tuple(row["image_id"] for row in rows),
        groups=tuple(row["group"] for row in rows),
        true=np.array([int(row["grade"]) for row in rows], dtype=np.int64),
        predicted=np.array([int(row["predicted"]) for row in rows], dtype=np.int64),
    )


def compare_paired(
    first: Candidate, second: Candidate, *, replicates: int, seed: int, confidence: float
) -> dict[str, Any]:
    """QWK of `first` less that of `second` on the same photographs, with its interval by group bootstrap.

    Raises:
        GateError: The two were validated on different photographs, groups or grades.
    """
    same = (first.image_ids, first.groups) == (second.image_ids, second.groups)
    if not same or not np.array_equal(first.true, second.true):
        raise GateError(
            f"{first.entrant.name} and {second.entrant.name} were validated on different photographs",
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


def table(selected: Selection, candidates: Mapping[str, Candidate]) -> list[dict[str, Any]]:
    """One entry per candidate, in the order given: its figures, and what the rule says of it."""
    entries = []
    for line in selected.lines:
        candidate = candidates[line.name]
        entries.append(
            {
                "candidate": line.name,
                **{key: candidate.export[key] for key in ("model", "family", "parameters", "input_px")},
                "qwk": candidate.entrant.qwk,
                "referable_sensitivity": candidate.entrant.referable_sensitivity,
                **{key: candidate.latency[key] for key in ("p50_ms", "p95_ms", "p99_ms", "threads")},
                "verdict": line.verdict.value,
                "reasons": list(line.reasons),
                "qwk_behind_leader": line.behind_leader,
                "ensemble": {key: candidate.export["ensemble"][key] for key in ("members", "views", "combine")},
                "two_eye_fusion": candidate.two_eye_fusion,
            }
        )
    return entries
