"""Runs an experiment: all arms are timed, then each is trained on every fold and predicts the outer folds."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.experiments.enhanced_canvases import canvases_of
from dr_pipeline.experiments.fold_results import result_code_sha256
from dr_pipeline.experiments.ledger import Opening, configurations_opened, read_openings, record_opening
from dr_pipeline.experiments.nested_folds import NestedFold, folds_digest
from dr_pipeline.experiments.out_of_fold import pool_folds
from dr_pipeline.experiments.outer_fold import RunContext, network_checkpoints, run_outer_fold
from dr_pipeline.experiments.settings import Settings
from dr_pipeline.experiments.summary import ArmResult
from dr_pipeline.experiments.throughput import throughputs
from dr_pipeline.files import sha256_file, sha256_json
from dr_pipeline.logs import logger
from dr_pipeline.params.evaluation import OperatingPoint


@dataclass(frozen=True)
class ExperimentRun:
    """What an experiment runs on.

    Attributes:
        name: The experiment's name.
        folds: The nested folds, the same for all arms.
        store: The canvases.
        context: What all trainings share.
        targets: The operating point that decisions are fitted to.
        ledger: File of the openings.
        seed: Seed of the resamplings that steady the cut points.
        machine: Description of the machine; speeds of another one are not reused.
    """

    name: str
    folds: Sequence[NestedFold]
    store: CanvasStore
    context: RunContext
    targets: OperatingPoint
    ledger: Path
    seed: int
    machine: dict[str, Any]

    @property
    def canvas_index_sha256(self) -> str:
        """Hash of the photographs."""
        return sha256_file(self.store.index_path)

    def configurations_opened(self) -> int:
        """How many configurations the ledger has for these photographs."""
        return configurations_opened(self.ledger, self.canvas_index_sha256)


def run_experiment(arms: Sequence[Settings], run: ExperimentRun) -> list[ArmResult]:
    """Runs arm after arm, fold after fold; cached results of an earlier run are reused.

    Args:
        arms: The settings of the arms.
        run: What they run on.

    Raises:
        DataError: The ledger is damaged.
        EnvironmentProblem: It was started as one of several processes.
        DrPipelineError: An arm cannot be trained; finished results stay in the scratch folder.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise EnvironmentProblem(
            "an experiment runs as one process on one device",
            where="WORLD_SIZE",
            todo="start it without torchrun; two experiments on two GPUs may share the scratch folder",
        )
    # what is wrong with an arm's enhancement or the ledger stops the experiment before its first training
    stores = [canvases_of(run.store, settings.enhancement) for settings in arms]
    read_openings(run.ledger)
    logger.info("%s: timing %d arm(s) before training", run.name, len(arms))
    speeds = throughputs(arms, run.context.scratch, machine=run.machine["fingerprint"])
    context = replace(run.context, shared=_shared_trainings(arms))
    photographs, division = run.canvas_index_sha256, folds_digest(run.folds)
    finished: list[ArmResult] = []
    for number, (settings, canvases, speed) in enumerate(zip(arms, stores, speeds, strict=True), start=1):
        label = f"{run.name}: arm {number}/{len(arms)} {settings.name}"
        opening = Opening(settings.configuration, result_code_sha256(), photographs, division)
        results = [
            run_outer_fold(
                settings,
                nested,
                canvases,
                context,
                label=f"{label}, fold {nested.fold + 1}/{len(run.folds)}",
                before_opening=partial(record_opening, run.ledger, opening, experiment=run.name, arm=settings.name),
            )
            for nested in run.folds
            if not settings.throughput_only
        ]
        finished.append(
            ArmResult(
                settings=settings,
                throughput=speed,
                predictions=pool_folds(run.folds, results, run.targets, seed=run.seed) if results else None,
                trainings=tuple(result.facts for result in results),
            )
        )
    for settings, canvases in zip(arms, stores, strict=True):
        for nested in run.folds:
            for checkpoint in network_checkpoints(settings, nested, canvases, context):
                checkpoint.remove()
    return finished


def _shared_trainings(arms: Sequence[Settings]) -> frozenset[str]:
    """Trainings that more than one arm needs."""
    times = Counter(sha256_json(settings.training_values) for settings in arms if not settings.throughput_only)
    return frozenset(training for training, count in times.items() if count > 1)
