"""The arguments of verbs that take a bundle from elsewhere."""

import argparse
from pathlib import Path


def add_bundle_argument(parser: argparse.ArgumentParser) -> None:
    """Declares --bundle and the keys that are trusted to sign it."""
    parser.add_argument(
        "--bundle",
        type=Path,
        required=True,
        metavar="BUNDLE",
        help="the bundle: a folder such as data/release, or a .drbundle file",
    )
    add_signature_argument(parser)


def add_signature_argument(parser: argparse.ArgumentParser) -> None:
    """Declares the keys that are trusted to sign the bundle."""
    parser.add_argument(
        "--require-signature",
        type=Path,
        metavar="KEY",
        help="refuse the bundle unless this public key (.pub), or one of those in this folder, signed it as it is",
    )
