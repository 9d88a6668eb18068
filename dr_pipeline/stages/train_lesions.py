"""Trains the networks that outline lesions: one for each fold, and one of all photographs, which is exported.

The section `lesions` of params.yaml names the data sets; `{}` leaves the stage out. The weights are an exponential
moving average after the last epoch. An interrupted training resumes after the last finished epoch. With
`training.grading` the encoder learns grades as well, those of the grading set's training part, and a grader is written
beside each network.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dr_pipeline.stages.outcome import Outcome

if TYPE_CHECKING:
    from dr_pipeline.training.lesions.graded import Grades

PARAMS: tuple[str, ...] = ("lesions.{name}.training",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--name", required=True, help="entry of the section `lesions` in params.yaml")
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--canvases", type=Path, required=True, help="folder that `lesion-canvases` wrote")
    parser.add_argument("--graded", type=Path, required=True, help="folder that `preprocess` wrote; for grades alone")
    parser.add_argument("--audited", type=Path, required=True, help="table that `audit` wrote; for grades alone")
    parser.add_argument("--splits", type=Path, required=True, help="table that `split` wrote; for grades alone")
    parser.add_argument("--fold", type=int, required=True, help="whose training part is graded")
    parser.add_argument("--same-eye", type=Path, required=True, help="JSON that `lesion-canvases` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the networks")
    parser.add_argument("--report", type=Path, required=True, help="JSON figures of the trainings")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for unfinished trainings")


def run(args: argparse.Namespace) -> Outcome:
    """Trains and writes the networks and their figures.

    Raises:
        DataError: A table or folder is missing or wrong, a kind is in no training photograph, or grades
            cannot be learned.
        ParamsError: The section is wrong, the network or its weights are not there, or they have seen photographs that
            measure grades.
        GateError: The loss is not finite.
        EnvironmentProblem: The memory or the disk is full.
    """
    import shutil

    from dr_pipeline.canvases.lesion_store import LesionStore
    from dr_pipeline.files import write_json
    from dr_pipeline.logs import logger
    from dr_pipeline.params.lesion_training import LesionTraining
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.schema import RESEARCH_USE
    from dr_pipeline.tracking.run import tracked
    from dr_pipeline.training.lesions.cross_validation import train_networks
    from dr_pipeline.training.lesions.tile_training import LesionEpoch

    params = load_section(args.params, f"lesions.{args.name}.training", LesionTraining)
    store = LesionStore(args.canvases)
    grades = _read_grades(args, params.weights) if params.grading.weight else None
    scratch = args.scratch / f"lesions-{args.name}-training"

    def show(network: str, row: LesionEpoch) -> None:
        minutes = row.seconds * (params.epochs - 1 - row.epoch) / 60
        logger.info(
            "%s, epoch %d/%d: loss %.3f%s, %.1f tiles/s, about %.0f minutes left for this network",
            network, row.epoch + 1, params.epochs, row.loss,
            "" if row.grade_loss is None else f", of grades {row.grade_loss:.3f}", row.tiles_per_s, minutes,
        )  # fmt: skip

    with tracked("train-lesions"):
        folds = [*sorted({row.fold for row in store.rows.values()}), None]
        figures = train_networks(store, params, args.out, scratch, folds=folds, grades=grades, on_epoch=show)
        write_json(args.report, {"lesion_training": {args.name: {"research_use": RESEARCH_USE, "networks": figures}}})
    shutil.rmtree(scratch)
    losses = [network["loss"] for network in figures.values()]
    return Outcome(
        wrote=(args.out, args.report),
        headline=f"{args.name}: {len(figures)} networks, loss {min(losses):.3f} to {max(losses):.3f}",
        next_command=f"dvc repro validate-lesions@{args.name}",
    )


def _read_grades(args: argparse.Namespace, weights: str) -> "Grades":
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.files import sha256_file
    from dr_pipeline.tables.manifest import read_manifest
    from dr_pipeline.tables.splits import read_splits
    from dr_pipeline.training.lesions.graded import Grades, read_same_eye
    from dr_pipeline.training.run_identity import require_disjoint

    store = CanvasStore(args.graded)
    require_disjoint(
        weights,
        where=f"{args.params}, lesions.{args.name}.training.weights",
        splits_sha256=sha256_file(args.splits),
        canvas_index_sha256=sha256_file(store.index_path),
        fold=args.fold,
    )
    same_eye = read_same_eye(args.same_eye, args.name)
    return Grades(store, read_manifest(args.audited), read_splits(args.splits), args.fold, same_eye)
