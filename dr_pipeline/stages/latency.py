"""Measures the time from file to grade of one candidate on validation photographs, on this machine.

Batch 1; reading, decoding, pixel path, network and decision included: the calls that `score` makes. Each format of the
candidate is measured in a process of its own.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("latency",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--candidate", required=True, help="its name in params.yaml")
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--root", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--audited", type=Path, required=True, help="table that `audit` wrote")
    parser.add_argument("--splits", type=Path, required=True, help="table that `split` wrote")
    parser.add_argument("--export", type=Path, required=True, help="folder that `export` wrote")
    parser.add_argument("--validation", type=Path, required=True, help="folder that `validate` wrote")
    parser.add_argument("--gradability", type=Path, required=True, help="thresholds that `gradability` wrote (JSON)")
    parser.add_argument("--machine", type=Path, required=True, help="description that `machine` wrote")
    parser.add_argument("--report", type=Path, required=True, help="the figures to write")


def run(args: argparse.Namespace) -> Outcome:
    """Checks the machine, measures, writes.

    Raises:
        GateError: This is not the machine that `machine` described.
        DataError: A file is missing, or a validation photograph cannot be graded.
    """
    from dr_pipeline.deployment.candidate_formats import format_name, written_formats
    from dr_pipeline.deployment.measure_latency import TimedPhotographs, measure_latency
    from dr_pipeline.files import read_json, write_json
    from dr_pipeline.machine import require_same_machine
    from dr_pipeline.params.evaluation import Latency
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.tracking.run import tracked

    params = load_section(args.params, "latency", Latency)
    machine = require_same_machine(args.machine)
    fold = read_json(args.export / "export.json")["fold"]
    measured = measure_latency(
        {
            format_name(args.candidate, folder): (args.export / folder, args.validation / folder)
            for folder in written_formats(args.export)
        },
        TimedPhotographs.of_validation(args.root, args.audited, args.splits, fold),
        args.gradability,
        params,
        machine=machine["fingerprint"],
    )
    figures = measured[args.candidate]
    with tracked("latency", candidate=args.candidate, fold=fold) as tracker:
        write_json(args.report, {"latency": measured})
        tracker.metrics({f"latency.{key}": figures[key] for key in ("p50_ms", "p95_ms", "p99_ms")})
    steps = ", ".join(f"{step} {value:.1f}" for step, value in figures["steps_ms"].items())
    others = "".join(
        f"; {name}: p95 {other['p95_ms']:.1f} ms, network {other['steps_ms']['network']:.1f} ms"
        for name, other in measured.items()
        if other is not figures
    )
    return Outcome(
        wrote=(args.report,),
        headline=f"{args.candidate}: p50 {figures['p50_ms']:.1f}, p95 {figures['p95_ms']:.1f}, "
        f"p99 {figures['p99_ms']:.1f} ms from file to grade (batch 1, {params.threads} thread(s), n = {figures['n']}; "
        f"medians: {steps} ms){others}",
        next_command="dvc repro select",
    )
