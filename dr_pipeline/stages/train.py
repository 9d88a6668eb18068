"""Fine-tunes one candidate on one fold and keeps the epoch with the best validation QWK.

The weights are an exponential moving average. An interrupted training resumes after the last finished epoch when it is
started again with the same parameters, data, code and libraries. Ctrl-C reports what is saved, and --take-best writes
it.

Under `torchrun` or `fabric run`, or with DR_PIPELINE_PROCESSES=N in the environment, processes share each batch.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

# of a candidate's ensemble, the seeds are trained here; `export` reads how their outputs are combined
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
    """Trains and writes weights, history, layer statistics and figures.

    The sections that later stages read are checked first: their faults are found before the training.

    Raises:
        ParamsError: A section is wrong, or no candidate may be deployed.
    """
    import os

    from dr_pipeline.params.later_sections import require_later_sections
    from dr_pipeline.training.launcher import is_first_process, run_in_processes

    require_later_sections(args.params)
    name = f"{args.candidate}-{args.fold}"
    wrote = (args.out, args.history, args.layers, args.report)
    next_command = f"dvc repro export@{args.candidate}"
    if num_processes := run_in_processes("train", vars(args)):
        return Outcome(wrote, f"{name}: trained in {num_processes} processes", next_command)

    from dr_pipeline.reporting.progress_plot import draw_progress
    from dr_pipeline.tracking.guard import SWITCH
    from dr_pipeline.tracking.run import tracked
    from dr_pipeline.training.train_candidate import EpochReport, read_candidate_run, train_candidate

    inputs = read_candidate_run(
        args.params, args.candidate, args.fold, canvases=args.canvases, splits=args.splits, readings=args.readings
    )
    if not is_first_process():
        os.environ[SWITCH] = "off"
    with tracked("train", candidate=args.candidate, fold=args.fold) as tracker:

        def show(epoch: EpochReport) -> None:
            tracker.metrics(epoch.metrics(), epoch.row.epoch)
            plot, title = epoch.folder / "progress.png", f"{name}, member {epoch.network}"
            draw_progress(plot, epoch.history, title=title, minutes_left=epoch.minutes_left)

        tracker.params(inputs.tracked_params())
        trained = train_candidate(inputs, scratch=args.scratch, take_best=args.take_best, on_epoch=show)
        if not is_first_process():
            return Outcome(wrote=(), headline="a further process: done", next_command="")
        trained.write(args.out, history=args.history, layers=args.layers, report=args.report)
        tracker.artifact(args.history)
    for checkpoint in trained.checkpoints:
        checkpoint.remove()
    figures = trained.figures()
    headline = (
        f"{name}: validation QWK {figures['validation_qwk']:.3f} at epoch {figures['best_epoch'] + 1} of "
        f"{inputs.candidate.epochs}, {figures['seconds']:.0f} s on {figures['device']} "
        "(it chose the epoch: `validate` gives the figure to quote)"
    )
    return Outcome(wrote, headline, next_command)
