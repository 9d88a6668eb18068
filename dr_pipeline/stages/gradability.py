"""Fits each site's quality threshold on the development part, applies it to all, and reports the rejection rate."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("quality",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the paths that the stage reads and writes."""
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--index", type=Path, required=True, help="index.csv of the canvases")
    parser.add_argument("--audited", type=Path, required=True, help="the audited manifest (CSV)")
    parser.add_argument("--splits", type=Path, required=True, help="the split (CSV)")
    parser.add_argument("--thresholds", type=Path, required=True, help="the thresholds to write (JSON)")
    parser.add_argument("--out", type=Path, required=True, help="the status of each photograph to write (CSV)")
    parser.add_argument("--report", type=Path, required=True, help="the report to write (JSON)")


def run(args: argparse.Namespace) -> Outcome:
    """Fits, applies, reports.

    Raises:
        DataError: A table is missing, or they are not about the same photographs.
    """
    from dr_pipeline.evaluation.gradability import fit_and_apply_gradability
    from dr_pipeline.files import write_json
    from dr_pipeline.params.curation import QualityParams
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.tables.gradability import write_gradability
    from dr_pipeline.tracking.run import tracked

    params = load_section(args.params, "quality", QualityParams)
    fitted = fit_and_apply_gradability(args.index, args.audited, args.splits, params)
    thresholds = fitted.thresholds
    with tracked("gradability") as tracker:
        write_json(args.thresholds, thresholds.to_dict())
        write_gradability(args.out, fitted.statuses.values(), private=True)
        write_json(args.report, {"gradability": fitted.report})
        tracker.metrics({"gradability.default_threshold": thresholds.default})
    sites = ", ".join(f"{site} {threshold:.3f}" for site, threshold in thresholds.sites.items())
    overall = fitted.report["development"]["all"]
    return Outcome(
        wrote=(args.thresholds, args.out, args.report),
        headline=f"threshold {thresholds.default:.3f}{f' ({sites})' if sites else ''}; rejected in development: "
        f"{overall['rejected']} of {overall['n']}",
        next_command="dvc repro train",
    )
