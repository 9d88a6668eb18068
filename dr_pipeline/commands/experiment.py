"""Compares configurations by nested, duplicate-safe cross-validation; writes a table and a picture.

Every arm is trained on the same outer folds. An inner validation part of the other folds chooses the epoch and fits
the cut points; the outer fold is predicted once. An interrupted experiment goes on where it stopped.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dr_pipeline.experiments.names import NAMES
from dr_pipeline.stages.outcome import Outcome

_READINGS = Path("data/readings.csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the experiment, what it reads and what may be changed."""
    parser.add_argument("name", choices=NAMES, metavar="NAME", help="the experiment: " + ", ".join(NAMES))
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
        help="folder for table, figures, picture and openings.jsonl, its own ledger of what was opened "
        "(reports/experiments)",
    )


def run(args: argparse.Namespace) -> Outcome:
    """Runs what is not kept from an earlier run, and writes NAME.json, NAME.csv, NAME.png and the predictions.

    What is opened is noted in openings.jsonl beside them, before it is.

    Raises:
        DataError: A table or canvas is missing, a fold lacks a grade, or the ledger of what was opened is damaged.
        ParamsError: A value is unknown or out of range, arms are the same, or an arm needs readings and there are none.
        EnvironmentProblem: The memory or the disk is full, or it was started as one of several processes.
        GateError: A training's loss is no longer finite.
    """
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.evaluation.metrics import say
    from dr_pipeline.experiments.canvases import require_canvases
    from dr_pipeline.experiments.definition import dotted_values, only, read_experiment
    from dr_pipeline.experiments.ledger import LEDGER, configurations_opened
    from dr_pipeline.experiments.mlflow_view import show
    from dr_pipeline.experiments.nested_folds import nested_folds, photographs_to_divide
    from dr_pipeline.experiments.outer_fold import Workplace
    from dr_pipeline.experiments.plot import draw
    from dr_pipeline.experiments.run_experiment import conduct
    from dr_pipeline.experiments.settings import resolve
    from dr_pipeline.experiments.summary import summarise
    from dr_pipeline.experiments.tables import TABLE_COLUMNS, table_rows, write_out_of_fold
    from dr_pipeline.files import atomic_write, sha256_file, write_csv, write_json
    from dr_pipeline.machine import describe_machine
    from dr_pipeline.params.curation import SplitParams
    from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
    from dr_pipeline.params.params_file import load_section, read_document
    from dr_pipeline.reporting.plot_style import png
    from dr_pipeline.splitting.groups import bridges_of, group_photographs
    from dr_pipeline.tables.manifest import read_manifest
    from dr_pipeline.tables.splits import read_splits

    experiment = read_experiment(args.name)
    if args.arms:
        experiment = only(experiment, args.arms)
    arms = resolve(
        read_document(args.params), args.candidate, experiment, dotted_values(args.set), train_all=args.train_all
    )
    evaluation = load_section(args.params, "evaluation", Evaluation)
    wanted = load_section(args.params, "operating_point", OperatingPoint)
    split = load_section(args.params, "split", SplitParams)
    audited = read_manifest(args.audited)
    store = CanvasStore(args.canvases)
    photographs = photographs_to_divide(audited, read_splits(args.development) if args.development else None)
    require_canvases(store, photographs)
    num_folds = experiment.folds if args.folds is None else args.folds
    folds = nested_folds(group_photographs(photographs, bridges_of(audited)), num_folds, split.salt)
    workplace = Workplace(_readings(args.readings, [arm.training.reader_agreement for arm in arms]), args.scratch)
    machine, ledger = describe_machine(), args.out / LEDGER

    results = conduct(
        args.name,
        arms,
        folds,
        store,
        workplace,
        wanted,
        ledger=ledger,
        seed=evaluation.bootstrap_seed,
        machine=machine["fingerprint"],
    )
    report = summarise(
        args.name,
        experiment,
        results,
        evaluation,
        candidate=args.candidate,
        num_folds=num_folds,
        configurations_opened=configurations_opened(ledger, sha256_file(store.index_path)),
        machine=machine,
    )
    figures, table, picture = (args.out / f"{args.name}.{suffix}" for suffix in ("json", "csv", "png"))
    write_json(figures, report)
    write_csv(table, TABLE_COLUMNS, table_rows(report))
    with atomic_write(picture) as stream:
        stream.write(png(draw(report)))
    predictions: list[Path] = []
    for arm in results:
        if arm.pooled is not None:
            predictions.append(args.predictions / f"{args.name}-{arm.settings.name}.csv")
            write_out_of_fold(predictions[-1], arm.pooled)
    show(report, (figures, table, picture))
    said = [f"{arm['arm']} {say(arm['figures']['qwk'])}" for arm in report["arms"] if arm["trained"]]
    return Outcome(
        wrote=(figures, table, picture, *predictions),
        headline=f"{args.name}, {num_folds} outer folds, QWK: " + ("; ".join(said) or "no arm is trained, only timed"),
        next_command=f"open {picture}",
    )


def _readings(given: Path | None, agreements: Sequence[float]) -> dict[str, list[int]]:
    """Of the table that is given; else of the usual one, where an arm learns from readings at all."""
    from dr_pipeline.errors import ParamsError
    from dr_pipeline.tables.readings import read_readings
    from dr_pipeline.training.data.targets import readings_by_photograph

    if given is not None:
        return readings_by_photograph(read_readings(given))
    if not any(agreements):
        return {}
    if not _READINGS.is_file():
        raise ParamsError(
            f"training.reader_agreement is {max(agreements):g}, and there is no {_READINGS}",
            where="--readings",
            todo="name the table of readings that `dvc repro intake` wrote, or set training.reader_agreement to 0",
        )
    return readings_by_photograph(read_readings(_READINGS))
