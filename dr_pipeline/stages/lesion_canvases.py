"""Prepares photographs with masks of lesions: canvases, a PNG of masks each, folds by patient and eye; off by default.

The section `lesions` of params.yaml names the data sets; `{}` leaves the stage out. Photographs of the grading set's
test part, of their patients and eyes, are left out and listed: none may train lesions and test grades.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands.engine_arguments import add_engine_arguments, engine_choice
from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("lesions.{name}.data",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--name", required=True, help="entry of the section `lesions` in params.yaml")
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True, help="folder of the photographs with grades")
    parser.add_argument("--canvases", type=Path, required=True, help="folder that `preprocess` wrote")
    parser.add_argument("--audited", type=Path, required=True, help="table that `audit` wrote")
    parser.add_argument("--splits", type=Path, required=True, help="table that `split` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for canvases, masks and index.csv")
    parser.add_argument("--report", type=Path, required=True, help="JSON to write: counts, what was left out, warnings")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for canvases that are compared")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> Outcome:
    """Reads, compares with the grading set, renders, writes.

    Raises:
        DataError: The data set differs from its layout, its masks cannot be used, or too few photographs are left.
        ParamsError: The section is wrong, or nothing says which of several networks the bundle gets.
    """
    from dr_pipeline.canvases.store import INDEX, CanvasStore
    from dr_pipeline.files import make_private_folder, write_json
    from dr_pipeline.logs import logger
    from dr_pipeline.params.later_sections import require_lesion_network
    from dr_pipeline.params.lesions import LesionData
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.tables.manifest import read_manifest
    from dr_pipeline.tables.splits import read_splits
    from dr_pipeline.training.lesion_canvases import prepare_lesion_canvases
    from dr_pipeline.training.lesion_photographs import GradingSet

    require_lesion_network(args.params)
    data = load_section(args.params, f"lesions.{args.name}.data", LesionData)
    grading = GradingSet(CanvasStore(args.canvases), read_manifest(args.audited), read_splits(args.splits))
    scratch = args.scratch / f"lesions-{args.name}"
    make_private_folder(args.out)
    make_private_folder(scratch)
    report = prepare_lesion_canvases(
        args.name, data, grading, args.out, scratch, engine_choice(args), grading_root=args.root
    )
    write_json(args.report, report)
    figures = report["lesion_canvases"][args.name]
    for warning in figures["warnings"]:
        logger.warning("%s", warning)
    counts = figures["photographs"]
    left_out = ", ".join(f"{number} {reason}" for reason, number in counts["left_out"].items()) or "none"
    return Outcome(
        wrote=(args.out / INDEX, args.report),
        headline=f"{args.name}: {counts['used']} of {counts['with_masks']} photographs with masks, "
        f"{counts['healthy']} of grade 0, {counts['groups']} patients or eyes; left out: {left_out}; "
        f"in the grading set: {len({match['image_id'] for match in figures['in_grading_set']})}",
        next_command="dvc repro train-lesions",
    )
