"""Packs a bundle's folder into one file, a .drbundle, which every command takes instead of the folder.

The file is a zip whose bytes follow from the bundle alone: equal bundles give equal files. It has the folder's
signature, if there is one. Research use only. Not a medical device.
"""

import argparse
from pathlib import Path

from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome, shell_word


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder, such as data/release")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write, such as a.drbundle")


def run(args: argparse.Namespace) -> Outcome:
    """Verifies the bundle and packs it."""
    from dr_pipeline.bundle.read import read_bundle
    from dr_pipeline.bundle.verify import verify_weights
    from dr_pipeline.bundle_storage import file_names, pack_files, read_stored, require_outside

    require_outside(args.out, args.bundle)
    bundle = read_bundle(args.bundle, threads=1)
    verify_weights(args.bundle)
    pack_files({name: read_stored(args.bundle, name) for name in file_names(args.bundle)}, args.out)
    size = args.out.stat().st_size / 1e6
    return Outcome(
        (args.out,),
        f"bundle {bundle.bundle_id}, {size:.1f} MB. {RESEARCH_USE}",
        f"dr-pipeline verify {shell_word(args.out)}",
    )
