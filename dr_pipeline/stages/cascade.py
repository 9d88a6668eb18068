"""Looks at every pair of candidates as two networks in a row, and makes a candidate of each pair that is worth it.

The small network grades every photograph, the large one those near a cut point: one ONNX graph, validated and timed as
any candidate. Off with `deployment.cascades: false`.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("candidates", "deployment", "evaluation", "folds", "latency", "operating_point")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--root", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--audited", type=Path, required=True, help="table that `audit` wrote")
    parser.add_argument("--splits", type=Path, required=True, help="table that `split` wrote")
    parser.add_argument("--canvases", type=Path, required=True, help="folder that `preprocess` wrote")
    parser.add_argument("--exports", type=Path, required=True, help="parent of the folders that `export` wrote")
    parser.add_argument("--validation", type=Path, required=True, help="parent of the folders that `validate` wrote")
    parser.add_argument("--validation-reports", type=Path, required=True, help="folder of the validation figures")
    parser.add_argument("--latency", type=Path, required=True, help="folder of the latencies")
    parser.add_argument("--statuses", type=Path, required=True, help="status of each photograph (CSV)")
    parser.add_argument("--gradability", type=Path, required=True, help="thresholds that `gradability` wrote (JSON)")
    parser.add_argument("--machine", type=Path, required=True, help="description that `machine` wrote")
    parser.add_argument("--out", type=Path, required=True, help="parent of the folders to write, one a cascade")
    parser.add_argument("--report", type=Path, required=True, help="the pairs and the figures to write (JSON)")


def run(args: argparse.Namespace) -> Outcome:
    """Compares the pairs, exports, validates and times those that are worth it.

    Raises:
        GateError: This is not the machine of `machine`, a graph decides otherwise than its networks, or the candidates
            were validated on different photographs.
        DataError: A file is missing or damaged.
    """
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.deployment.make_cascades import CascadeData, make_cascades
    from dr_pipeline.deployment.measure_latency import TimedPhotographs, measure_latency
    from dr_pipeline.deployment.selection_inputs import CandidatePaths
    from dr_pipeline.files import write_json
    from dr_pipeline.machine import require_same_machine
    from dr_pipeline.params.evaluation import Deployment, Evaluation, Latency, OperatingPoint
    from dr_pipeline.params.params_file import load_folds, load_names, load_section

    machine, fold = require_same_machine(args.machine), load_folds(args.params)[0]
    made = make_cascades(
        load_names(args.params, "candidates"),
        CandidatePaths(args.exports, args.validation, args.validation_reports, args.latency),
        CascadeData(CanvasStore(args.canvases), args.splits, args.statuses, fold),
        args.out,
        deployment=load_section(args.params, "deployment", Deployment),
        evaluation=load_section(args.params, "evaluation", Evaluation),
        targets=load_section(args.params, "operating_point", OperatingPoint),
    )
    latency = {}
    if made.validation:
        latency = measure_latency(
            {name: (args.out / name, args.out / name) for name in made.validation},
            TimedPhotographs.of_validation(args.root, args.audited, args.splits, fold),
            args.gradability,
            load_section(args.params, "latency", Latency),
            machine=machine["fingerprint"],
        )
    write_json(args.report, {"pairs": made.pairs, "validation": made.validation, "latency": latency})
    return Outcome(
        wrote=(args.out, args.report),
        headline=f"{len(made.pairs)} pairs of networks in a row, {len(made.validation)} worth it"
        + "".join(f"; {name}: p95 {times['p95_ms']:.1f} ms" for name, times in latency.items()),
        next_command="dvc repro select",
    )
