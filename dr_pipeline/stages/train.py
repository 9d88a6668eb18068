"""Fine-tunes one candidate on one fold and keeps the epoch with the best validation QWK.

The weights are an exponential moving average. An interrupted training goes on at the last finished epoch when it is
started again with the same parameters, data, code and libraries; Ctrl-C says what is kept, and --take-best writes
that.

Under `torchrun` or `fabric run`, or with DR_PIPELINE_PROCESSES=N in the environment, processes share each batch.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

# of a candidate's ensemble, its seeds are trained here; how their answers are combined is read by `export`
_OF_CANDIDATE = (
    "model",
    "weights",
    "input_px",
    "epochs",
    "batch_photographs",
    "learning_rate",
    "drop_rate",
    "drop_path_rate",
    "network",
    "fine_tuning",
    "memory",
    "ensemble.seeds",
)
PARAMS = ("training", *(f"candidates.{{candidate}}.{key}" for key in _OF_CANDIDATE))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--candidate", required=True, help="a key of `candidates` in params.yaml")
    parser.add_argument("--fold", type=int, required=True, help="the fold that validates")
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--canvases", type=Path, required=True, help="folder that `preprocess` wrote")
    parser.add_argument("--splits", type=Path, required=True, help="table that `split` wrote")
    parser.add_argument("--readings", type=Path, required=True, help="table of several readers' grades from `intake`")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--history", type=Path, required=True, help="CSV, one row per epoch; members one after another")
    parser.add_argument("--layers", type=Path, required=True, help="CSV, figures of each layer before and after")
    parser.add_argument("--report", type=Path, required=True, help="JSON figures")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for unfinished training")
    parser.add_argument("--take-best", action="store_true", help="train no further: take the best finished epoch")


def run(args: argparse.Namespace) -> Outcome:
    """Trains and writes weights, history and figures."""
    import os
    import sys
    from dataclasses import asdict, fields
    from importlib.metadata import version

    from dr_pipeline.training.processes import is_first_process, run_in_processes

    if num_processes := run_in_processes("train", vars(args)):
        return Outcome(
            wrote=(args.out, args.history, args.layers, args.report),
            headline=f"{args.candidate}-{args.fold}: trained in {num_processes} processes",
            next_command=f"dvc repro export@{args.candidate}",
        )

    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.files import sha256_file, sha256_json, write_csv, write_json
    from dr_pipeline.models.weights.checkpoint_files import write_tensors
    from dr_pipeline.models.weights.initialise import unpinned_sources
    from dr_pipeline.params.candidate import Candidate
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.params.training import Training
    from dr_pipeline.reporting.progress_plot import draw_progress
    from dr_pipeline.schema import Split
    from dr_pipeline.tables.splits import read_splits, select_split
    from dr_pipeline.tracking.guard import SWITCH
    from dr_pipeline.tracking.run import tracked
    from dr_pipeline.training.checkpoint import Checkpoint
    from dr_pipeline.training.data.targets import read_readings
    from dr_pipeline.training.layer_statistics import LayerStatistics
    from dr_pipeline.training.leakage import require_unseen
    from dr_pipeline.training.loop import Epoch
    from dr_pipeline.training.run_identity import provenance
    from dr_pipeline.training.summary import history_row, member_file, model_facts, training_figures, with_minutes_left
    from dr_pipeline.training.trainer import train_member

    params = load_section(args.params, "training", Training)
    candidate = load_section(args.params, f"candidates.{args.candidate}", Candidate)
    store = CanvasStore(args.canvases)
    rows, readings = read_splits(args.splits), read_readings(args.readings)
    hashes = {
        "splits_sha256": sha256_file(args.splits),
        "canvas_index_sha256": sha256_file(args.canvases / "index.csv"),
    }
    data = {"pixel_path": store.pixel_path.to_dict(), **hashes}
    for source, key in (
        (candidate.weights, f"candidates.{args.candidate}.weights"),
        (params.distillation.teacher, "training.distillation.teacher"),
    ):
        require_unseen(source, where=f"{args.params}, {key}", fold=args.fold, **hashes)
    name, seeds = f"{args.candidate}-{args.fold}", [params.seed + n for n in range(candidate.ensemble.seeds)]
    shared = params.model_dump(mode="json")
    # how members are combined changes none of them: a training that was stopped goes on with fewer or more
    identity = {
        **data,
        "candidate": candidate.model_dump(mode="json", exclude={"ensemble"}),
        "training": shared,
        "fold": args.fold,
        "readings_sha256": sha256_file(args.readings),
        **provenance(candidate.weights, params.distillation.teacher),
    }
    checkpoints = [
        Checkpoint(args.scratch / name / f"member-{number}", sha256_json({**identity, "seed": seed}))
        for number, seed in enumerate(seeds)
    ]
    if is_first_process():
        for source in unpinned_sources(candidate.weights, params.distillation.teacher):
            sys.stderr.write(
                f"{source} is not pinned: `dvc repro` does not see when it changes; "
                "write its sha256, or a bundle's id, behind a # in params.yaml\n"
            )
    else:
        os.environ[SWITCH] = "off"
    members = []
    with tracked("train", candidate=args.candidate, fold=args.fold) as run_:
        run_.params(
            {**candidate.model_dump(mode="json"), **{f"training.{key}": value for key, value in shared.items()}}
        )
        for number, (seed, checkpoint) in enumerate(zip(seeds, checkpoints, strict=True)):

            def on_epoch(row: Epoch, number: int = number, checkpoint: Checkpoint = checkpoint) -> None:
                values = history_row(row, candidate, number)
                run_.metrics({key: float(value) for key, value in values.items() if key != "epoch"}, values["epoch"])
                picture = checkpoint.path.with_name("progress.png")
                rows_so_far = with_minutes_left(checkpoint.history, candidate, number)
                draw_progress(picture, rows_so_far, title=f"{name}, member {number}")

            members.append(
                train_member(
                    candidate,
                    params,
                    store=store,
                    training=select_split(rows, Split.TRAIN, args.fold),
                    validation=select_split(rows, Split.VALIDATION, args.fold),
                    readings=readings,
                    seed=seed,
                    checkpoint=checkpoint,
                    on_epoch=on_epoch,
                    layers=number == 0,
                    take_best=args.take_best,
                    to_stop="run `dr-pipeline train` with the same arguments and --take-best",
                )
            )
        figures = training_figures(candidate, members, seeds)
        headline = (
            f"{name}: validation QWK {figures['validation_qwk']:.3f} at epoch {figures['best_epoch'] + 1} of "
            f"{candidate.epochs}, {figures['seconds']:.0f} s on {figures['device']} "
            "(the epoch was chosen by it: `validate` gives the figure to quote)"
        )
        if not is_first_process():
            return Outcome(wrote=(), headline="a further process: done", next_command="")
        for number, member in enumerate(members):
            write_tensors(member.grader.state_dict(), args.out / member_file(number))
        write_json(
            args.out / "model.json",
            {
                "schema_version": 1,
                "candidate": args.candidate,
                "fold": args.fold,
                **model_facts(candidate, params, members, seeds),
                **data,
                "versions": {package: version(package) for package in ("timm", "torch")},
            },
        )
        history = [
            history_row(row, candidate, number)
            for number, member in enumerate(members)
            for row in member.trained.history
        ]
        write_csv(args.history, [field.name for field in fields(Epoch)], history)
        layers = [asdict(layer) for layer in members[0].layers]
        write_csv(args.layers, [field.name for field in fields(LayerStatistics)], layers)
        write_json(args.report, {"training": {name: figures}})
        run_.artifact(args.history)
    for checkpoint in checkpoints:
        checkpoint.remove()
    return Outcome(
        wrote=(args.out, args.history, args.layers, args.report),
        headline=headline,
        next_command=f"dvc repro export@{args.candidate}",
    )
