"""Exports one trained candidate to ONNX and checks on every validation photograph that it decides alike.

An ensemble is one graph. Where its weights are fitted, they are fitted here, on validation photographs.

With SOURCE and --formats: writes a bundle or an exported candidate in other formats, one row per format with its size,
validation QWK, changed grades and speed. A format that decides differently, or an int8 that is not faster or may lower
the QWK, is refused. Figures of a machine that does other work too mean little. Research use only.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands.argument_types import positive_int, share
from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("folds", "candidates.{candidate}.ensemble", "deployment.formats")

_OF_STAGE = ("candidate", "models", "fold", "params")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives, and those of other formats."""
    parser.add_argument("--canvases", type=Path, default=Path("data/canvases"), help="folder that `preprocess` wrote")
    parser.add_argument("--splits", type=Path, default=Path("data/splits.csv"), help="table that `split` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the exported model or the formats")
    stage = parser.add_argument_group("the stage: a trained candidate to ONNX")
    stage.add_argument("--candidate", help="a key of `candidates` in params.yaml")
    stage.add_argument("--models", type=Path, help="the candidate's folder that `train` wrote")
    stage.add_argument("--fold", type=int, help="the fold to deploy")
    stage.add_argument("--params", type=Path, help="params.yaml")
    formats = parser.add_argument_group("other formats")
    formats.add_argument("source", nargs="?", type=Path, metavar="SOURCE", help="a bundle or data/exports/CANDIDATE")
    formats.add_argument("--formats", metavar="NAME,…", help="such as onnx,onnx-int8,openvino,pt2,safetensors,hf")
    formats.add_argument("--decision", type=Path, metavar="JSON", help="a candidate's decision, which `validate` wrote")
    formats.add_argument(
        "--calibration", type=positive_int, default=300, metavar="N", help="training photographs for int8 (300 or more)"
    )
    formats.add_argument(
        "--qwk-margin", type=share, default=0.01, metavar="X", help="int8, fp16: lower end of ΔQWK is ≥ -X (0.01)"
    )
    formats.add_argument(
        "--changed-grades", type=share, default=0.05, metavar="SHARE", help="int8, fp16: grades that may change (0.05)"
    )
    formats.add_argument(
        "--changed-referrals",
        type=float,
        default=0.02,
        metavar="SHARE",
        help="and referrals (0.02)",
    )


def run(args: argparse.Namespace) -> Outcome:
    """Exports the candidate, or writes the formats.

    Raises:
        GateError: The networks were trained on other data, the export decides differently, or no format is kept.
        ParamsError: An argument is missing, a format is unknown, or the ensemble cannot be built.
        DataError: A file is missing or damaged.
    """
    from dr_pipeline.errors import ParamsError

    if args.source or args.formats:
        if not (args.source and args.formats):
            raise ParamsError("SOURCE and --formats belong together", todo="dr-pipeline export --help")
        return _write_formats(args)
    missing = [f"--{name}" for name in _OF_STAGE if getattr(args, name) is None]
    if missing:
        raise ParamsError(f"{', '.join(missing)} missing", todo="give them, or SOURCE and --formats")
    return _export(args)


def _export(args: argparse.Namespace) -> Outcome:
    from dataclasses import asdict

    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.deployment.export_candidate import ExportOptions, export_candidate
    from dr_pipeline.deployment.export_variants import export_variants
    from dr_pipeline.params.candidate import EnsembleParams
    from dr_pipeline.params.evaluation import Formats
    from dr_pipeline.params.params_file import load_folds, load_section
    from dr_pipeline.tracking.run import tracked

    ensemble = load_section(args.params, f"candidates.{args.candidate}.ensemble", EnsembleParams)
    formats = load_section(args.params, "deployment.formats", Formats)
    options = ExportOptions(ensemble, fold=args.fold, folds=load_folds(args.params))
    store = CanvasStore(args.canvases)
    with tracked("export", candidate=args.candidate, fold=args.fold) as tracker:
        exported = export_candidate(args.models, store, args.splits, args.out, options)
        parity = exported.parity
        variants = export_variants(
            args.out, store, args.splits, formats.reduced, calibration=formats.calibration_photographs
        )
        tracker.metrics({f"parity.{key}": float(value) for key, value in asdict(parity).items()})
    return Outcome(
        wrote=(args.out,),
        headline=(
            f"{exported.candidate}: {parity.changed_grades} of {parity.n} grades changed by the export, "
            f"probabilities within {parity.max_probability_difference:.1g}"
            + "".join(f"; {variant.name}: {variant.refusal or 'written'}" for variant in variants)
        ),
        next_command=f"dvc repro validate@{exported.candidate}",
    )


def _write_formats(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.deployment.export_formats import FormatLimits, export_formats, format_table
    from dr_pipeline.deployment.format_source import read_deployed
    from dr_pipeline.deployment.parity import Tolerance
    from dr_pipeline.schema import RESEARCH_USE

    deployed = read_deployed(
        args.source,
        decision=args.decision,
        canvases=args.canvases,
        splits=args.splits,
        calibration=args.calibration,
    )
    tolerance = Tolerance(probability=1.0, grades=args.changed_grades, referrals=args.changed_referrals)
    names = tuple(dict.fromkeys(name.strip() for name in args.formats.split(",") if name.strip()))
    rows = export_formats(deployed, names, args.out, FormatLimits(tolerance=tolerance, qwk_margin=args.qwk_margin))
    return Outcome(wrote=(args.out,), headline=f"{format_table(rows)}\n{RESEARCH_USE}", next_command="")
