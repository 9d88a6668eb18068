"""Reads the candidates' files: what the selection rule needs, and what reports/selection.json shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided, Decision
from dr_pipeline.deployment.candidate_formats import (
    EXPORT,
    candidate_of,
    format_name,
    is_cascade,
    require_exported,
    unwritten_formats,
    written_formats,
)
from dr_pipeline.deployment.selection import SelectionCandidate
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import read_json
from dr_pipeline.metrics.bootstrap import paired_qwk_difference
from dr_pipeline.params.evaluation import MACHINE
from dr_pipeline.scoring.latency_file import read_latency_file
from dr_pipeline.tables.graded import read_graded


@dataclass(frozen=True)
class CandidatePaths:
    """Where the stages wrote: of all candidates, or of one.

    Attributes:
        export: Folder that `export` wrote; of all candidates, its parent.
        validation: Likewise of `validate`.
        figures: The validation figures (JSON), those of a candidate's formats too; of all candidates, their folder.
        latency: Likewise the latency figures of this machine.
        cascades: Parent of the folders that `cascade` wrote; None: there are none.
        cascade_figures: The figures that `cascade` wrote.
    """

    export: Path
    validation: Path
    figures: Path
    latency: Path
    cascades: Path | None = None
    cascade_figures: Path | None = None

    def of(self, name: str) -> "CandidatePaths":
        """Those of one candidate among all, such as `lite0`, `lite0/onnx-int8` or `lite0+lite1`."""
        if is_cascade(name) and self.cascades and self.cascade_figures:
            folder, figures = self.cascades / name, self.cascade_figures
            return CandidatePaths(folder, folder, figures, figures)
        file = f"{candidate_of(name)}.json"
        return CandidatePaths(self.export / name, self.validation / name, self.figures / file, self.latency / file)


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
        predicted: The candidate's grades, each by a decision fitted on others, int, shape (N,).
        expected: The candidate's expected grades, shape (N,).
        logits: Shape (N, 5).
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
    logits: NDArray[np.float64]

    @property
    def decided(self) -> Decided:
        """What the deployed decision makes of the logits."""
        return self.decision.apply(self.logits)


def read_candidates(
    names: Sequence[str], formats: Sequence[str], paths: CandidatePaths, *, target: str = MACHINE
) -> tuple[dict[str, CandidateFiles], dict[str, dict[str, Any]]]:
    """Reads all candidates, each in its formats.

    Args:
        names: Those of params.yaml.
        formats: Likewise.
        paths: Of all candidates.
        target: As in `read_candidate`.

    Returns:
        The files by name, such as `lite0` and `lite0/onnx-int8`, and the export.json of each format that could not be
        written.

    Raises:
        DataError: A file or an entry of it is missing, or a candidate is not exported in a format.
    """
    files: dict[str, CandidateFiles] = {}
    unwritten: dict[str, dict[str, Any]] = {}
    for candidate in names:
        export = paths.export / candidate
        require_exported(export, formats)
        for folder in written_formats(export):
            name = format_name(candidate, folder)
            files[name] = read_candidate(name, paths.of(name), target=target)
        unwritten |= {format_name(candidate, folder): facts for folder, facts in unwritten_formats(export).items()}
    return files, unwritten


def require_same_photographs(candidates: Sequence[CandidateFiles]) -> None:
    """Raises GateError where candidates were validated on different photographs, or on those of different splits."""
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


def read_cascades(
    paths: CandidatePaths, *, target: str = MACHINE
) -> tuple[dict[str, CandidateFiles], list[dict[str, Any]]]:
    """Reads what `cascade` wrote: the exported ones by name, and the row of every pair.

    Raises:
        DataError: A file or an entry of it is missing.
    """
    if paths.cascade_figures is None:
        return {}, []
    document = read_json(paths.cascade_figures)
    files = {name: read_candidate(name, paths.of(name), target=target) for name in document["validation"]}
    return files, list(document["pairs"])


def read_candidate(name: str, paths: CandidatePaths, *, target: str = MACHINE) -> CandidateFiles:
    """Reads one candidate from the files of its stages.

    Args:
        name: Its name in params.yaml, with its format where that is not float32.
        paths: Where they lie.
        target: MACHINE, or a file of `bench latency`, where the candidate is found by the hash of its network.

    Raises:
        DataError: A file or an entry of it is missing.
    """
    export = read_json(paths.export / EXPORT)
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
        logits=np.array([row.logits for row in rows], dtype=np.float64),
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
        f"--out {target}` with these files copied; then `dvc repro select`"
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
