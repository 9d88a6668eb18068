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
    from dr_pipeline.errors import DataError
    from dr_pipeline.evaluation.gradability import apply_gradability
    from dr_pipeline.evaluation.rejection import rejection_report
    from dr_pipeline.evaluation.reliability_bins import CONFIDENCE
    from dr_pipeline.files import sha256_file, write_json
    from dr_pipeline.fundus.quality.thresholds import fit_gradability
    from dr_pipeline.params.curation import QualityParams
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.schema import RESEARCH_USE
    from dr_pipeline.tables.canvas_index import read_canvas_index
    from dr_pipeline.tables.gradability import write_gradability
    from dr_pipeline.tables.manifest import read_manifest
    from dr_pipeline.tables.splits import DEVELOPMENT, read_splits
    from dr_pipeline.tracking.run import tracked

    params = load_section(args.params, "quality", QualityParams)
    index = {row.image_id: row for row in read_canvas_index(args.index)}
    site_of = {row.image_id: row.site for row in read_manifest(args.audited)}
    splits = read_splits(args.splits)

    development = [row.image_id for row in splits if row.split == DEVELOPMENT]
    if unknown := sorted({row.image_id for row in splits} - (index.keys() & site_of.keys())):
        raise DataError(
            f"{len(unknown)} photographs of the split are not in both other tables, such as {unknown[0]!r}",
            where=str(args.splits),
            todo="run `dvc repro`",
        )
    gradability = fit_gradability(
        ((site_of[name], index[name].status, index[name].quality or 0.0) for name in development),
        min_score=params.min_score,
        max_rejected_share=params.max_rejected_share,
        fitted_on={
            "split": DEVELOPMENT,
            "splits_sha256": sha256_file(args.splits),
            "canvas_index_sha256": sha256_file(args.index),
            "photographs": str(len(development)),
        },
    )
    statuses = apply_gradability(gradability, index, site_of)
    report = rejection_report(splits, statuses, CONFIDENCE) | {
        "research_use": RESEARCH_USE,
        "thresholds": gradability.to_dict()
        | {"sites": [{"site": site, "threshold": limit} for site, limit in gradability.sites.items()]},
    }
    with tracked("gradability") as tracker:
        write_json(args.thresholds, gradability.to_dict())
        write_gradability(args.out, statuses.values())
        write_json(args.report, {"gradability": report})
        tracker.metrics({"gradability.default_threshold": gradability.default})
    sites = ", ".join(f"{site} {threshold:.3f}" for site, threshold in gradability.sites.items())
    overall = report["development"]["all"]
    return Outcome(
        wrote=(args.thresholds, args.out, args.report),
        headline=f"threshold {gradability.default:.3f}{f' ({sites})' if sites else ''}; rejected in development: "
        f"{overall['rejected']} of {overall['n']}",
        next_command="dvc repro train",
    )
