"""The whole experiment: all arms timed, each trained on every fold and judged by what it has not seen."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.experiments.cache_key import result_code_sha256
from dr_pipeline.experiments.canvases import canvases_of
from dr_pipeline.experiments.ledger import Combination, read_openings, record_opening
from dr_pipeline.experiments.nested_folds import Nested, division_digest
from dr_pipeline.experiments.out_of_fold import pool
from dr_pipeline.experiments.outer_fold import Workplace, outer_fold
from dr_pipeline.experiments.settings import Settings
from dr_pipeline.experiments.summary import ArmResult
from dr_pipeline.experiments.throughput import throughputs
from dr_pipeline.files import sha256_file
from dr_pipeline.logs import logger
from dr_pipeline.params.evaluation import OperatingPoint


def conduct(
    name: str,
    arms: Sequence[Settings],
    folds: Sequence[Nested],
    store: CanvasStore,
    workplace: Workplace,
    wanted: OperatingPoint,
    *,
    ledger: Path,
    seed: int,
    machine: str,
) -> list[ArmResult]:
    """Arm after arm, fold after fold; what is kept from an earlier run is not done again.

    Args:
        name: Of the experiment, for standard error.
        arms: Their settings.
        folds: The same for all.
        store: The canvases.
        workplace: What all trainings share.
        wanted: What decisions are fitted to.
        ledger: Where it is noted what is opened.
        seed: Of the resamplings that steady the cut points.
        machine: Fingerprint, so that speeds of another one are not taken.

    Raises:
        DataError: The ledger is damaged.
        EnvironmentProblem: It was started as one of several processes.
        DrPipelineError: An arm cannot be trained; what is finished stays in the scratch folder.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise EnvironmentProblem(
            "an experiment runs as one process on one device",
            where="WORLD_SIZE",
            todo="start it without torchrun; two experiments on two GPUs may share the scratch folder",
        )
    stores = [canvases_of(store, settings.preprocess_arm) for settings in arms]  # a wrong one stops before the first
    read_openings(ledger)  # a damaged one too
    logger.info("%s: timing %d arm(s) before anything is trained", name, len(arms))
    speeds = throughputs(arms, workplace.scratch, machine=machine)
    photographs, division = sha256_file(store.index_path), division_digest(folds)
    finished: list[ArmResult] = []
    for number, (settings, canvases, speed) in enumerate(zip(arms, stores, speeds, strict=True), start=1):
        label = f"{name}: arm {number}/{len(arms)} {settings.name}"
        opened = Combination(settings.configuration, result_code_sha256(), photographs, division)
        note = partial(record_opening, ledger, opened, experiment=name, arm=settings.name)
        results = [
            outer_fold(
                settings,
                nested,
                canvases,
                workplace,
                label=f"{label}, fold {nested.fold + 1}/{len(folds)}",
                before_opening=note,
            )
            for nested in folds
            if not settings.throughput_only
        ]
        finished.append(
            ArmResult(
                settings=settings,
                throughput=speed,
                pooled=pool(folds, results, wanted, seed=seed) if results else None,
                trainings=tuple(result.facts for result in results),
            )
        )
    return finished
