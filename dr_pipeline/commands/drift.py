"""Compares a batch of scored photographs with those that the model was developed on: cameras, looks, quality, scores.

Reads the table that `score` wrote and the bundle's reference; writes drift.json and a page, index.html, and adds the
batch to a history. Each measure is stable, to be watched, or has drifted, overall and by camera and site; the rules are
on the page. Exit code 0 whatever the verdict, unless --fail-on is given. Research use only. Not a medical device.
"""

import argparse
from pathlib import Path

from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome, shell_word


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "predictions", type=Path, metavar="PREDICTIONS", help="the table that `score` wrote: .csv, .jsonl or .parquet"
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="the bundle that scored it")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for drift.json and index.html")
    parser.add_argument("--name", default="", help="of the batch, in the page and the history (default: the file's)")
    parser.add_argument(
        "--history", type=Path, metavar="FILE", help="JSON lines to which the batch is added; the page charts them"
    )
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="PREDICTIONS",
        help="compare with this earlier table of the same bundle instead of the bundle's reference",
    )
    parser.add_argument(
        "--cameras",
        type=Path,
        metavar="FILE",
        help="the allowed cameras, one name a line, as in the column camera (default: those of development)",
    )
    parser.add_argument(
        "--fail-on", choices=("watch", "drift"), help="exit code 2 where the verdict is this or worse, for a scheduler"
    )
    parser.add_argument("--track", action="store_true", help="record the batch as an MLflow run too")


def run(args: argparse.Namespace) -> Outcome:
    """Compares the batch.

    Raises:
        DataError: The table has no photograph to compare; neither the bundle nor --baseline gives a reference.
        BundleError: Another bundle scored the table, or the bundle is damaged.
        GateError: The verdict is as bad as `--fail-on` says.
    """
    from dr_pipeline.bundle.identity import identify_bundle
    from dr_pipeline.clinic.drift.batch import baseline_reference, read_batch, require_reference
    from dr_pipeline.clinic.drift.camera_list import read_cameras
    from dr_pipeline.clinic.drift.compare import Verdict, compare
    from dr_pipeline.clinic.drift.history import Entry, add_to_history
    from dr_pipeline.clinic.drift.page import render_page
    from dr_pipeline.clinic.drift.report import headline, to_dict
    from dr_pipeline.errors import GateError
    from dr_pipeline.files import atomic_write, canonical_json
    from dr_pipeline.logs import logger

    bundle_id = identify_bundle(args.bundle).bundle_id
    reference = (
        baseline_reference(args.baseline, bundle_id=bundle_id) if args.baseline else require_reference(args.bundle)
    )
    batch = read_batch(args.predictions, name=args.name, bundle_id=bundle_id)
    drift = compare(batch, reference, cameras=read_cameras(args.cameras) if args.cameras else None)
    history = add_to_history(args.history, Entry.of(drift)) if args.history else []
    result, page = args.out / "drift.json", args.out / "index.html"
    content = to_dict(drift, reference)
    for path, text in ((result, canonical_json(content)), (page, render_page(drift, reference, history))):
        with atomic_write(path, private=True) as stream:
            stream.write(text.encode())
    if args.track:
        from dr_pipeline.tracking.drift_run import record_drift
        from dr_pipeline.tracking.store import Store, files_root

        logger.info("MLflow run %s", record_drift(Store(files_root(Path.cwd())), content, (result, page)))
    verdicts = list(Verdict)
    if args.fail_on and verdicts.index(drift.verdict) >= verdicts.index(Verdict(args.fail_on)):
        raise GateError(headline(drift), where=str(page), todo="look at the page; have a person grade a sample")
    return Outcome(
        wrote=(result, page, *([args.history] if args.history else [])),
        headline=f"{headline(drift)}. {RESEARCH_USE}",
        next_command=f"open {shell_word(page)}",
    )
