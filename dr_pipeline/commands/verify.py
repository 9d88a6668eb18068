"""Verifies a bundle: its hashes, its version, its self-test and, if asked for, its signature; prints what it is."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from dr_pipeline.commands.bundle_arguments import add_signature_argument
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome, shell_word


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "bundle",
        type=Path,
        metavar="BUNDLE",
        help="the bundle: its folder, such as data/release, or a .drbundle file",
    )
    add_signature_argument(parser)


def run(args: argparse.Namespace) -> Outcome:
    """Reads the bundle, which verifies it."""
    from dr_pipeline.bundle.bundle_files import METADATA, SUMS
    from dr_pipeline.bundle.identity import identify_bundle
    from dr_pipeline.bundle.read import read_bundle
    from dr_pipeline.bundle.signature import require_signature, signer_of
    from dr_pipeline.bundle.verify import verify_weights
    from dr_pipeline.bundle_storage import COPY_AGAIN
    from dr_pipeline.errors import BundleError
    from dr_pipeline.metrics.intervals import format_estimate

    keys = args.require_signature
    if keys:  # before anything of a bundle from a stranger is run
        signed = require_signature(args.bundle, keys)
        signature = f"signed by the trusted key {signed.key_id} ({signed.comment.replace(chr(9), ', ')})"
    else:
        signer = signer_of(args.bundle)
        signature = f"signature of key {signer}, not verified without --require-signature" if signer else "not signed"
    bundle = read_bundle(args.bundle, threads=1)
    verify_weights(args.bundle)
    try:
        name, version, validation = (bundle.metadata[key] for key in ("name", "version", "validation"))
        estimate = format_estimate(validation["qwk"])
    except (KeyError, TypeError) as error:
        raise BundleError(
            f"an entry of {METADATA} is missing or malformed: {error}", where=str(args.bundle), todo=COPY_AGAIN
        ) from None
    fitted_on = bundle.decision.fitted_on
    files = identify_bundle(args.bundle).sha256.keys() - {SUMS}
    return Outcome(
        wrote=(),
        headline="\n".join(
            [
                f"bundle {bundle.bundle_id}: {name}, version {version}, intact",
                f"files: {len(files)} match SHA256SUMS; self-test: same grades, "
                f"probabilities within {bundle.golden_difference:.1g}",
                signature,
                f"decision fitted on {fitted_on.get('split', '?')}, {_data_of(fitted_on)}",
                f"validation QWK {estimate}",
                RESEARCH_USE,
            ]
        ),
        next_command=f"dr-pipeline score FOLDER --bundle {shell_word(args.bundle)} --out predictions.csv",
    )


def _data_of(fitted_on: Mapping[str, str]) -> str:
    if "parent" in fitted_on:
        return f"{fitted_on['photographs']} photographs; its parent is bundle {fitted_on['parent']}"
    return f"splits {fitted_on.get('splits_sha256', '?')[:16]}"
