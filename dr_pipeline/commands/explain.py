"""Explains grades: draws over photographs what raised them, in the photographs' own pixels.

Each graded photograph gets a PNG with what raised its grade from dark blue (weak) to yellow (strong, outlined where it
is at least half of the strongest); explanations.json lists all of them. The colours of each picture have their own
scale. A bundle with a network for lesions gives a second PNG with their outlines and counts, and the grade that these
have by the ICDR rules. A file that is not graded has no picture, and its reason in the list. With masks of lesions,
figures say how often the strongest place is a lesion, beside the centre of the field. Where the network looked is no
proof that it was right. Research use only. Not a medical device.
"""

import argparse
from pathlib import Path
from typing import Any

from dr_pipeline.commands.bundle_arguments import add_bundle_argument
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome

REPORT = "explanations.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("sources", nargs="+", metavar="PHOTO", help="files, folders, archives, as `score` takes them")
    add_bundle_argument(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the pictures, private")
    parser.add_argument("--site", default="", metavar="NAME", help="use the quality threshold fitted for this site")
    parser.add_argument(
        "--method",
        choices=("attribution", "occlusion"),
        default="",
        help="attribution: the way back through the network, by the bundle's explain.onnx; occlusion: one place after "
        "the other is smoothed, for any network, in seconds (default: attribution where the bundle has it)",
    )
    parser.add_argument(
        "--masks", type=Path, nargs="+", default=(), metavar="FOLDER", help="masks of lesions, to measure the maps by"
    )
    parser.add_argument("--only-figures", action="store_true", help="writes no pictures")


def run(args: argparse.Namespace) -> Outcome:
    """Explains photograph by photograph."""
    from dr_pipeline.bundle.signature import trusted_identity
    from dr_pipeline.files import canonical_json, make_private_folder, write_text
    from dr_pipeline.machine import usable_threads
    from dr_pipeline.scoring.explain import Explainer
    from dr_pipeline.scoring.explain_files import explain_files
    from dr_pipeline.scoring.input_safety import require_apart
    from dr_pipeline.scoring.lesion_masks import LesionMasks
    from dr_pipeline.scoring.sources.listing import list_entries

    trusted_identity(args.bundle, args.require_signature)
    entries = [entry for entry in list_entries(args.sources) if not entry.left_out]
    require_apart(args.out, args.sources, entries)
    explainer = Explainer.from_bundle(
        args.bundle, threads=usable_threads(), site=args.site, method=args.method, lesions=not args.only_figures
    )
    masks = LesionMasks(args.masks) if args.masks else None
    make_private_folder(args.out)
    report = explain_files(entries, explainer, args.out, masks=masks, pictures=not args.only_figures)
    write_text(args.out / REPORT, canonical_json(report), private=True)
    return Outcome(wrote=(args.out / REPORT,), headline=_headline(report), next_command="")


def _headline(report: "dict[str, Any]") -> str:
    from collections import Counter

    from dr_pipeline.metrics.intervals import format_estimate

    statuses = Counter(row["status"] for row in report["photographs"])
    lines = [f"{', '.join(f'{count} {status}' for status, count in statuses.items())}; by {report['method']}"]
    for name, figures in report.get("localisation", {}).items():
        if isinstance(figures, dict):
            near, energy = format_estimate(figures["pointing_game"]), format_estimate(figures["energy"])
            lines.append(f"{name}: strongest place at a lesion {near}, energy on lesions {energy}")
    return "\n".join([*lines, RESEARCH_USE])
