"""Measures how fast this machine scores: a folder (`score`), or one photograph from file to grade (`latency`).

`bench score FOLDER --bundle BUNDLE` runs `score` on FOLDER as it is, then the pixel path and the network alone with all
cores full, which is the ideal, and every step on one core. `--device cuda` runs the network on a GPU, as `score` does.

`bench latency FOLDER --bundle BUNDLE` times at least 200 gradings one after the other, and says whether the bundle
keeps its latency budget on this machine. `--out FILE` adds the figures to a file that `deployment.target` in
params.yaml may name: `select` then selects for this machine. `--candidate` measures one that was not selected.

Figures of a machine that does other work too mean little. Research use only.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands.argument_types import positive_int, positive_ms, price
from dr_pipeline.commands.bundle_arguments import add_signature_argument
from dr_pipeline.commands.score_arguments import add_device_argument
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome

_LEAST_GRADINGS, _WARMUP = 200, 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("what", choices=["score", "latency"], help="what to measure")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="photographs such as those to be scored")
    measured = parser.add_mutually_exclusive_group(required=True)
    measured.add_argument(
        "--bundle", type=Path, metavar="DIR", help="the bundle: a folder such as data/release, or a .drbundle file"
    )
    measured.add_argument(
        "--candidate",
        nargs=3,
        type=Path,
        metavar=("EXPORT", "VALIDATION", "GRADABILITY"),
        help="latency: one not packed, such as data/exports/b0 data/validation/b0 data/gradability.json",
    )
    add_signature_argument(parser)
    parser.add_argument(
        "--limit",
        type=positive_int,
        default=200,
        metavar="N",
        help="photographs for the steps, or for the latency (default 200)",
    )
    parser.add_argument(
        "--price-per-hour",
        type=price,
        metavar="X",
        help="score: price of this machine per hour, for the cost of 1,000 files",
    )
    add_device_argument(parser)
    parser.add_argument("--threads", type=positive_int, default=1, metavar="N", help="latency: of the network")
    parser.add_argument(
        "--budget-ms",
        type=positive_ms,
        metavar="X",
        help="latency: the budget, by default that of the bundle's selection",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="latency: a file (JSON) to add the figures to")


def run(args: argparse.Namespace) -> Outcome:
    """Measures and prints."""
    from dr_pipeline.bundle.signature import trusted_identity
    from dr_pipeline.errors import ParamsError

    if args.what == "latency" and args.device != "cpu":
        raise ParamsError("the latency is that of the processor", where="--device", todo="use it with `bench score`")
    if args.bundle is None and (args.what == "score" or args.require_signature):
        what = "`bench score` runs a bundle" if args.what == "score" else "a candidate has no signature"
        raise ParamsError(what, where="--candidate", todo="name a bundle with --bundle")
    if args.bundle:
        trusted_identity(args.bundle, args.require_signature)
    return _score(args) if args.what == "score" else _latency(args)


def _score(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.bundle.session import Device
    from dr_pipeline.machine import describe_machine, usable_processes
    from dr_pipeline.scoring.throughput import measure_throughput

    files, workers = _files(args.folder), usable_processes()
    measured = measure_throughput(
        args.bundle, args.folder, files, limit=args.limit, workers=workers, device=Device(args.device)
    )
    total_ms = sum(measured.steps_ms.values())
    network = "network alone" if measured.device is Device.CPU else f"network alone, on {measured.device} beside it,"
    lines = [
        f"{measured.files} files in {measured.whole_s:.1f} s, start included: {measured.files_per_s:.1f} files/s",
        f"ideal {measured.ideal_per_s:.1f} files/s ({measured.workers} processes; pixel path alone "
        f"{1 / measured.pixel_path_s:.1f}/s, {network} {1 / measured.network_s:.1f}/s): "
        f"{measured.files_per_s / measured.ideal_per_s:.0%} of the ideal",
        f"one photograph on one core, medians of {measured.photographs}:",
        *(f"  {step:9s} {ms:6.2f} ms  {ms / total_ms:4.0%}" for step, ms in measured.steps_ms.items()),
        f"  {'sum':9s} {total_ms:6.2f} ms",
    ]
    if args.price_per_hour is not None:
        lines.append(f"1,000 files: {measured.cost_per_1000(args.price_per_hour):.4f} at {args.price_per_hour} an hour")
    return Outcome(wrote=(), headline="\n".join([*lines, _machine_line(describe_machine())]), next_command="")


def _latency(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.bundle.read import read_bundle
    from dr_pipeline.files import sha256_file, sha256_json
    from dr_pipeline.machine import describe_machine
    from dr_pipeline.scoring.latency import budget_sentence, latency_figures, latency_lines, sample_photographs
    from dr_pipeline.scoring.latency_file import add_network, read_latency_file, require_machine_of
    from dr_pipeline.scoring.scorer import Scorer

    machine = describe_machine()
    if args.out and args.out.exists():  # before minutes of measuring
        require_machine_of(args.out, read_latency_file(args.out), machine)

    def load(threads: int) -> Scorer:
        if args.bundle:
            return Scorer.from_bundle(args.bundle, threads=threads)
        return Scorer.from_export(*args.candidate, threads=threads)

    photographs, left_out = sample_photographs(load(args.threads), _files(args.folder), args.limit)
    count = max(_LEAST_GRADINGS, len(photographs))
    figures = latency_figures(load, photographs, warmup=_WARMUP, count=count, threads=args.threads)
    figures["photographs_sha256"] = sha256_json(sorted(sha256_file(path) for path in photographs))
    if args.bundle:
        metadata = read_bundle(args.bundle, threads=1).metadata
        network, stated_ms = metadata["model"]["sha256"], metadata.get("latency", {}).get("budget_ms")
    else:
        network, stated_ms = sha256_file(args.candidate[0] / "model.onnx"), None
    budget_ms = args.budget_ms or stated_ms
    if args.out:
        add_network(args.out, machine, network, figures | {"budget_ms": budget_ms})
    return Outcome(
        wrote=(args.out,) if args.out else (),
        headline="\n".join(
            [
                *latency_lines(figures),
                *([f"left out: {left_out} files that are no photograph of a fundus"] if left_out else []),
                budget_sentence(figures, budget_ms),
                _machine_line(machine),
            ]
        ),
        next_command=f"deployment.target: {args.out} in params.yaml, then `dvc repro select`" if args.out else "",
    )


def _files(folder: Path) -> list[Path]:
    from dr_pipeline.scoring.sources.listing import list_entries

    return [Path(entry.location) for entry in list_entries([str(folder)]) if not entry.left_out and not entry.member]


def _machine_line(machine: dict[str, object]) -> str:
    return f"{machine['cpu']}, {machine['usable_cores']} cores, Python {machine['python']}. {RESEARCH_USE}"
