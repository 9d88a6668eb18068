"""Unpacks a .drbundle into a folder, after verifying it.

Any zip program can unpack one too; `dr-pipeline verify FOLDER` then shows that it is whole. Research use only. Not a
medical device.
"""

import argparse
from pathlib import Path

from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome, shell_word


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("bundle", type=Path, metavar="FILE", help="the .drbundle file")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")


def run(args: argparse.Namespace) -> Outcome:
    """Verifies the bundle and unpacks it."""
    from dr_pipeline.bundle.read import read_bundle
    from dr_pipeline.bundle.verify import verify_weights
    from dr_pipeline.bundle.write import write_files
    from dr_pipeline.bundle_storage import file_names, read_stored

    bundle = read_bundle(args.bundle, threads=1)
    verify_weights(args.bundle)
    write_files(args.out, {name: read_stored(args.bundle, name) for name in file_names(args.bundle)})
    return Outcome(
        (args.out,), f"bundle {bundle.bundle_id}. {RESEARCH_USE}", f"dr-pipeline verify {shell_word(args.out)}"
    )
