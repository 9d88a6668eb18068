"""Signs a bundle with a secret key: what `--require-signature` then verifies with the public one.

Signed is SHA256SUMS, and with it every file of the bundle, which is verified first. The signature becomes part of the
folder or of the .drbundle, in place of an earlier one. The program `minisign` verifies it too. The password of the key
is asked for, or taken from DR_PIPELINE_KEY_PASSWORD. Needs the extra `signing`.
"""

import argparse
from pathlib import Path

from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome, shell_word


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle: its folder, or a .drbundle file")
    parser.add_argument(
        "--key", type=Path, required=True, metavar="KEY", help="secret key of `dr-pipeline keygen` or `minisign -G`"
    )


def run(args: argparse.Namespace) -> Outcome:
    """Verifies the bundle and signs it."""
    from dr_pipeline.bundle.read import read_bundle
    from dr_pipeline.bundle.signature import read_secret_key, sign_bundle
    from dr_pipeline.commands.key_password import key_password

    bundle = read_bundle(args.bundle, threads=1)
    with read_secret_key(args.key, key_password) as key:
        signed = sign_bundle(bundle, key)
    public = args.key.with_suffix(".pub")
    return Outcome(
        (args.bundle,),
        f"signed by key {signed.key_id}. {RESEARCH_USE}",
        f"dr-pipeline verify {shell_word(args.bundle)} --require-signature {shell_word(public)}",
    )
