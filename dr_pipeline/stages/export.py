"""Exports one trained candidate to ONNX and checks on every validation photograph that it decides alike.

An ensemble is one graph. Where its weights are fitted, they are fitted here, on validation photographs.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("folds", "candidates.{candidate}.ensemble")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--candidate", required=True, help="a key of `candidates` in params.yaml")
    parser.add_argument("--models", type=Path, required=True, help="the candidate's folder that `train` wrote")
    parser.add_argument("--fold", type=int, required=True, help="the fold to deploy")
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--canvases", type=Path, required=True, help="folder that `preprocess` wrote")
    parser.add_argument("--splits", type=Path, required=True, help="table that `split` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the exported model")


def run(args: argparse.Namespace) -> Outcome:
    """Exports the candidate.

    Raises:
        GateError: The networks were trained on other data, or the export decides differently.
        ParamsError: The ensemble cannot be built.
        DataError: A file is missing or damaged.
    """
    from dataclasses import asdict

    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.deployment.export_candidate import ExportOptions, export_candidate
    from dr_pipeline.params.candidate import EnsembleParams
    from dr_pipeline.params.params_file import load_folds, load_section
    from dr_pipeline.tracking.run import tracked

    ensemble = load_section(args.params, f"candidates.{args.candidate}.ensemble", EnsembleParams)
    options = ExportOptions(ensemble, fold=args.fold, folds=load_folds(args.params))
    with tracked("export", candidate=args.candidate, fold=args.fold) as tracker:
        exported = export_candidate(args.models, CanvasStore(args.canvases), args.splits, args.out, options)
        parity = exported.parity
        tracker.metrics({f"parity.{key}": float(value) for key, value in asdict(parity).items()})
    return Outcome(
        wrote=(args.out,),
        headline=(
            f"{exported.candidate}: {parity.changed_grades} of {parity.n} grades changed by the export, "
            f"probabilities within {parity.max_probability_difference:.1g}"
        ),
        next_command=f"dvc repro validate@{exported.candidate}",
    )
