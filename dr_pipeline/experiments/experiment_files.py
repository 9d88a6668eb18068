"""Reads the tables and canvases that an experiment runs on, and writes its results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import ParamsError
from dr_pipeline.experiments.arm_table import arm_rows, out_of_fold_rows, site_rows
from dr_pipeline.experiments.enhanced_canvases import require_canvases
from dr_pipeline.experiments.ledger import LEDGER
from dr_pipeline.experiments.nested_folds import (
    Protocol,
    eligible_photographs,
    nested_folds,
    site_folds,
    with_test_only,
)
from dr_pipeline.experiments.outer_fold import RunContext
from dr_pipeline.experiments.plot import plot_experiment
from dr_pipeline.experiments.run_experiment import ExperimentRun
from dr_pipeline.experiments.summary import ArmResult
from dr_pipeline.files import atomic_write, write_json
from dr_pipeline.machine import describe_machine
from dr_pipeline.params.evaluation import OperatingPoint
from dr_pipeline.reporting.plot_style import png
from dr_pipeline.splitting.groups import bridges_of, group_photographs
from dr_pipeline.tables.experiment import write_experiment, write_sites
from dr_pipeline.tables.manifest import read_manifest
from dr_pipeline.tables.out_of_fold import write_out_of_fold
from dr_pipeline.tables.readings import read_readings
from dr_pipeline.tables.splits import read_splits
from dr_pipeline.training.data.targets import readings_by_photograph

DEFAULT_READINGS = Path("data/readings.csv")


@dataclass(frozen=True)
class ExperimentFiles:
    """Where an experiment reads and writes.

    Attributes:
        audited: Table that `audit` wrote.
        canvases: Folder that `preprocess` wrote.
        readings: Table of readings that `intake` wrote; None for `DEFAULT_READINGS`, where they are needed.
        development: Table that `split` wrote, whose test part is left out; None to use all photographs.
        scratch: Folder of finished and unfinished trainings.
        predictions: Folder for the out-of-fold predictions of each arm.
        out: Folder for the table, the figures, the plot and the ledger of openings.
    """

    audited: Path
    canvases: Path
    readings: Path | None
    development: Path | None
    scratch: Path
    predictions: Path
    out: Path


def prepare_run(
    name: str,
    files: ExperimentFiles,
    *,
    protocol: Protocol,
    num_folds: int,
    test_only: Sequence[str],
    salt: str,
    targets: OperatingPoint,
    seed: int,
    reader_agreements: Sequence[float],
    camera_shift: float = 0.0,
) -> ExperimentRun:
    """Reads the photographs and builds the nested folds.

    Args:
        name: The experiment's name.
        files: What is read.
        protocol: Whether outer folds are drawn, or are sites.
        num_folds: Number of outer folds, where they are drawn.
        test_only: Sites that are never trained on.
        salt: As in `split` of params.yaml; it decides which photographs share a fold.
        targets: The operating point that decisions are fitted to.
        seed: Seed of the resamplings that steady the cut points.
        reader_agreements: `training.reader_agreement` of each arm; above 0 it needs the readings.
        camera_shift: Strength of the cameras through which the outer folds are predicted, too.

    Raises:
        DataError: A table or canvas is missing, or a fold lacks a grade.
        ParamsError: An arm needs readings and there are none, there are too few sites, or there is no such site.
    """
    audited, store = read_manifest(files.audited), CanvasStore(files.canvases)
    photographs = eligible_photographs(audited, read_splits(files.development) if files.development else None)
    photographs = with_test_only(photographs, test_only)
    require_canvases(store, photographs)
    groups = group_photographs(photographs, bridges_of(audited))
    folds = nested_folds(groups, num_folds, salt) if protocol == "folds" else site_folds(groups, protocol, salt)
    return ExperimentRun(
        name=name,
        folds=folds,
        store=store,
        context=RunContext(_readings(files.readings, reader_agreements), files.scratch, camera_shift),
        targets=targets,
        ledger=files.out / LEDGER,
        seed=seed,
        machine=describe_machine(),
    )


def write_results(
    name: str, files: ExperimentFiles, report: Mapping[str, Any], results: Sequence[ArmResult]
) -> list[Path]:
    """Writes figures, table, plot, table of sites, predictions of each arm; returns their paths in this order."""
    figures, table, plot = (files.out / f"{name}.{suffix}" for suffix in ("json", "csv", "png"))
    write_json(figures, report)
    write_experiment(table, arm_rows(report))
    with atomic_write(plot) as stream:
        stream.write(png(plot_experiment(report)))
    written = [figures, table, plot]
    if by_site := site_rows(report):
        written.append(files.out / f"{name}-sites.csv")
        write_sites(written[-1], by_site)
    for arm in results:
        if arm.predictions is not None:
            written.append(files.predictions / f"{name}-{arm.settings.name}.csv")
            write_out_of_fold(written[-1], out_of_fold_rows(arm.predictions), private=True)
    return written


def _readings(path: Path | None, agreements: Sequence[float]) -> dict[str, list[int]]:
    """The readings of the given table; else of the default one, where an arm trains on readings."""
    if path is not None:
        return readings_by_photograph(read_readings(path))
    if not any(agreements):
        return {}
    if not DEFAULT_READINGS.is_file():
        raise ParamsError(
            f"training.reader_agreement is {max(agreements):g}, and there is no {DEFAULT_READINGS}",
            where="--readings",
            todo="name the table of readings that `dvc repro intake` wrote, or set training.reader_agreement to 0",
        )
    return readings_by_photograph(read_readings(DEFAULT_READINGS))
