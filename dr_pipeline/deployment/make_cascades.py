"""Compares every pair of candidates as a cascade, and makes a candidate of each that is worth it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.deployment.candidate_formats import cascade_name
from dr_pipeline.deployment.cascade import CascadeLimits, Stage, evaluate_cascades, most_asked
from dr_pipeline.deployment.export_cascade import export_cascade
from dr_pipeline.deployment.format_gate import FormatGate, compare_formats
from dr_pipeline.deployment.selection_inputs import (
    CandidateFiles,
    CandidatePaths,
    read_candidates,
    require_same_photographs,
)
from dr_pipeline.evaluation.validate_candidate import ValidationInputs, validate_candidate
from dr_pipeline.files import write_json
from dr_pipeline.logs import logger
from dr_pipeline.params.evaluation import Deployment, Evaluation, OperatingPoint
from dr_pipeline.tables.graded import write_graded


@dataclass(frozen=True)
class CascadeData:
    """What the candidates were validated on.

    Attributes:
        canvases: The canvases.
        splits: Table that `split` wrote.
        statuses: Table of the quality statuses.
        fold: The deployed fold.
    """

    canvases: CanvasStore
    splits: Path
    statuses: Path
    fold: int


@dataclass(frozen=True)
class Cascades:
    """The row of each pair, and the validation figures of those that were exported, by name."""

    pairs: list[dict[str, Any]]
    validation: dict[str, dict[str, Any]]


def make_cascades(
    names: Sequence[str],
    paths: CandidatePaths,
    data: CascadeData,
    out: Path,
    *,
    deployment: Deployment,
    evaluation: Evaluation,
    targets: OperatingPoint,
) -> Cascades:
    """Writes a folder for each pair that is worth it, with what `export` and `validate` write for a candidate.

    Args:
        names: The candidates of params.yaml.
        paths: Of all candidates.
        data: What they were validated on.
        out: Parent of the folders; what is there is removed.
        deployment: Formats, families and limits.
        evaluation: Of the intervals.
        targets: The operating point.

    Raises:
        GateError: The candidates were validated on different photographs, or a graph decides otherwise than its
            networks.
        DataError: A file is missing or damaged.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    candidates, _ = read_candidates(names, deployment.formats.names, paths, target=deployment.target)
    require_same_photographs(list(candidates.values()))
    bootstrap: Any = {
        "replicates": evaluation.bootstrap_replicates,
        "seed": evaluation.bootstrap_seed,
        "confidence": evaluation.confidence,
    }
    formats = compare_formats(candidates, FormatGate.of(deployment), **bootstrap)
    refused = {name for name, comparison in formats.items() if comparison.refusals}
    stages = _stages(candidates, refused, deployment.families) if deployment.cascades else {}
    first = next(iter(candidates.values()))
    limits = CascadeLimits(deployment.latency_budget_ms, deployment.format_limits.qwk_margin)
    pairs = evaluate_cascades([*stages.values()], first.true, first.groups, limits, targets, **bootstrap)
    reports = {}
    for pair in pairs:
        pair["name"] = name = "" if pair["reasons"] else cascade_name(pair["small"], pair["large"])
        if name:
            logger.info("%s: exporting, since it is worth it", name)
            most = most_asked(stages[pair["small"]], stages[pair["large"]])
            small, large = candidates[pair["small"]], candidates[pair["large"]]
            seed = evaluation.bootstrap_seed
            export_cascade(small, large, paths.export, data.canvases, out / name, most=most, seed=seed)
            reports[name] = _validated(name, data, out / name, evaluation, targets)
    return Cascades(pairs, reports)


def _stages(candidates: Mapping[str, CandidateFiles], refused: set[str], families: Sequence[str]) -> dict[str, Stage]:
    """The networks that may be deployed and were measured on the target."""
    return {
        name: Stage(
            name=name,
            input_px=files.export["input_px"],
            logits=files.logits,
            grade=files.predicted,
            mean_ms=files.latency["mean_ms"],
            p95_ms=files.latency["p95_ms"],
            network_ms=files.latency["steps_ms"]["network"],
        )
        for name, files in candidates.items()
        if name not in refused and files.summary.family in families and "mean_ms" in files.latency
    }


def _validated(
    name: str, data: CascadeData, folder: Path, evaluation: Evaluation, targets: OperatingPoint
) -> dict[str, Any]:
    """As the stage `validate`: fits the decision on the cascade's own logits."""
    inputs = ValidationInputs(name, data.fold, folder, data.canvases, data.splits, data.statuses)
    validation = validate_candidate(inputs, evaluation, targets)
    write_graded(folder / "predictions.csv", validation.rows)
    write_json(folder / "decision.json", validation.decision.to_dict())
    return validation.report
