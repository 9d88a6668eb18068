"""Compares configurations by nested, duplicate-safe cross-validation; writes a table and a plot.

Every arm is trained on the same outer folds. An inner validation part of the other folds chooses the epoch and fits
the cut points; the outer fold is predicted once. An interrupted experiment resumes where it stopped.

In leave_one_site_out and one_site_to_rest the outer folds are the manifest's sites, and each site has its figures.
"""

import argparse
from dataclasses import fields
from pathlib import Path

from dr_pipeline.errors import ParamsError
from dr_pipeline.experiments.catalogue import experiment_names
from dr_pipeline.stages.outcome import Outcome, shell_word


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the experiment, what it reads and what may be changed."""
    names = experiment_names()
    parser.add_argument("name", choices=names, metavar="NAME", help="the experiment: " + ", ".join(names))
    parser.add_argument("--candidate", required=True, help="a key of `candidates` in params.yaml: what is varied")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="PATH", help="(params.yaml)")
    parser.add_argument(
        "--audited",
        type=Path,
        default=Path("data/audited.csv"),
        metavar="PATH",
        help="table that `audit` wrote (data/audited.csv)",
    )
    parser.add_argument(
        "--canvases",
        type=Path,
        default=Path("data/canvases"),
        metavar="PATH",
        help="folder that `preprocess` wrote (data/canvases)",
    )
    parser.add_argument(
        "--readings",
        type=Path,
        metavar="PATH",
        help="table of readings that `intake` wrote, for training.reader_agreement above 0 (data/readings.csv, if any)",
    )
    parser.add_argument(
        "--development", type=Path, metavar="PATH", help="table that `split` wrote: its test part is left out"
    )
    parser.add_argument("--folds", type=int, metavar="K", help="outer folds, instead of the experiment's own number")
    parser.add_argument(
        "--test-only",
        type=lambda text: text.split(","),
        default=[],
        metavar="SITE,SITE",
        help="sites that are never trained on, as if their source had the role test; GDRBench's are DDR,EYEPACS",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a value for every arm, such as candidate.epochs=4 or training.ema_decay=0.99; may be repeated",
    )
    parser.add_argument(
        "--arms",
        type=lambda text: text.split(","),
        metavar="NAME,NAME",
        help="some of the experiment's arms; the first in its order is what the others are compared with",
    )
    parser.add_argument("--train-all", action="store_true", help="train also the arms that are only timed on a CPU")
    parser.add_argument(
        "--scratch",
        type=Path,
        default=Path(".scratch/experiments"),
        metavar="PATH",
        help="folder of finished and unfinished trainings (.scratch/experiments)",
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        default=Path("data/experiments"),
        metavar="PATH",
        help="folder for each arm's out-of-fold predictions (data/experiments)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("reports/experiments"),
        metavar="PATH",
        help="folder for table, figures, plot and openings.jsonl, the ledger of openings (reports/experiments)",
    )


def run(args: argparse.Namespace) -> Outcome:
    """Runs what is not cached by an earlier run, and writes NAME.json, NAME.csv, NAME.png and the predictions.

    Openings are recorded in openings.jsonl beside them, before the outer fold is predicted.

    Raises:
        DataError: A table or canvas is missing, a fold lacks a grade, or the ledger of openings is damaged.
        ParamsError: A value is unknown or out of range, arms are equal, or an arm needs readings and there are none.
        EnvironmentProblem: The memory or the disk is full, or it was started as one of several processes.
        GateError: A training's loss is no longer finite.
    """
    from dr_pipeline.experiments.definition import dotted_values, read_experiment, select_arms
    from dr_pipeline.experiments.experiment_files import ExperimentFiles, prepare_run, write_results
    from dr_pipeline.experiments.mlflow_view import show_in_mlflow
    from dr_pipeline.experiments.run_experiment import run_experiment
    from dr_pipeline.experiments.settings import resolve_settings
    from dr_pipeline.experiments.site_lines import site_lines
    from dr_pipeline.experiments.summary import summarise
    from dr_pipeline.metrics.intervals import format_estimate
    from dr_pipeline.params.curation import SplitParams
    from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
    from dr_pipeline.params.params_file import load_section, read_document

    experiment = read_experiment(args.name)
    if args.arms:
        experiment = select_arms(experiment, args.arms)
    overrides = dotted_values(args.set)
    arms = resolve_settings(read_document(args.params), args.candidate, experiment, overrides, train_all=args.train_all)
    evaluation = load_section(args.params, "evaluation", Evaluation)
    if args.folds is not None and experiment.protocol != "folds":
        raise ParamsError(
            f"the folds of {args.name} are the sites",
            where="--folds",
            todo="leave it out; a source with the role train or test is not held out, or not trained on",
        )
    num_folds = experiment.folds if args.folds is None else args.folds
    files = ExperimentFiles(**{field.name: getattr(args, field.name) for field in fields(ExperimentFiles)})
    context = prepare_run(
        args.name,
        files,
        protocol=experiment.protocol,
        num_folds=num_folds,
        test_only=args.test_only,
        salt=load_section(args.params, "split", SplitParams).salt,
        targets=load_section(args.params, "operating_point", OperatingPoint),
        seed=evaluation.bootstrap_seed,
        reader_agreements=[arm.training.reader_agreement for arm in arms],
        camera_shift=experiment.camera_shift,
    )
    results = run_experiment(arms, context)
    report = summarise(
        args.name,
        experiment,
        results,
        evaluation,
        candidate=args.candidate,
        num_folds=len(context.folds),
        configurations_opened=context.configurations_opened(),
        machine=context.machine,
    )
    written = write_results(args.name, files, report, results)
    show_in_mlflow(report, written[:3])
    qwk = [f"{arm['arm']} {format_estimate(arm['figures']['qwk'])}" for arm in report["arms"] if arm["trained"]]
    return Outcome(
        wrote=tuple(written),
        headline=f"{args.name}, {len(context.folds)} outer folds, QWK: "
        + ("; ".join(qwk) or "no arm is trained, only timed")
        + "".join(site_lines(report)),
        next_command=f"open {shell_word(written[2])}",
    )
