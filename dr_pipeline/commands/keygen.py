"""Makes a pair of keys for signing bundles, in minisign's format (Ed25519).

KEY is secret: it is encrypted with a password, only you may read it, and it never leaves your machine. KEY with the
suffix .pub is public: give it to those who use your bundles. Needs the extra `signing`.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome, shell_word


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="KEY", help="the secret key to write, such as a.key")
    parser.add_argument(
        "--no-password", action="store_true", help="do not encrypt it: for a machine that signs without a person"
    )


def run(args: argparse.Namespace) -> Outcome:
    """Asks for a password and makes the keys."""
    from dr_pipeline.bundle.signature import make_keys
    from dr_pipeline.commands.key_password import new_password

    identity = make_keys(args.out, "" if args.no_password else new_password())
    public = args.out.with_suffix(".pub")
    return Outcome(
        (args.out, public),
        f"key {identity}; keep a copy of {args.out} where only you can read it, and give {public} to others",
        f"dr-pipeline sign BUNDLE --key {shell_word(args.out)}",
    )
