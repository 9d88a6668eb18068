"""Scores photographs with a bundle: one row per file, always.

Takes folders with their sub-folders, files, archives, lists and object stores, and writes a table. A file that is
broken or no photograph is a row with a status and a reason. What operating systems and file servers leave beside
photographs (thumbnails, deleted files, ._x.jpg) has no row, and is counted. Rows are written one by one to OUT.partial;
OUT appears when all are there, with a manifest of the run beside it. A run that was interrupted goes on with --resume.
Exit code 0 means that every other file has a row. Research use only. Not a medical device.
"""

import argparse
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dr_pipeline.commands.bundle_arguments import add_bundle_argument
from dr_pipeline.commands.engine_arguments import engine_choice
from dr_pipeline.commands.score_arguments import (
    add_destination_arguments,
    add_people_arguments,
    add_run_arguments,
    add_source_arguments,
    people_from,
    sources_from,
)
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome

if TYPE_CHECKING:
    from dr_pipeline.bundle.identity import BundleIdentity
    from dr_pipeline.scoring.run import Run
    from dr_pipeline.scoring.shadow import Shadow
    from dr_pipeline.scoring.summary import Summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add_source_arguments(parser)
    add_bundle_argument(parser)
    add_destination_arguments(parser, "--out", required=True)
    parser.add_argument(
        "--site", default="", metavar="NAME", help="use the quality threshold fitted for this site (default: of all)"
    )
    parser.add_argument(
        "--shadow",
        type=Path,
        metavar="BUNDLE",
        help="score with this challenger too, after the bundle, whose rows stay as they are: OUT.shadow has its rows, "
        "OUT.agreement.csv both, OUT.agreement.json how far they agree",
    )
    parser.add_argument(
        "--lesions",
        action="store_true",
        help="look for lesions too, with the bundle's lesions.onnx, in seconds instead of milliseconds a photograph: "
        "for OUT.csv, OUT.lesions.csv has counts, sizes and a second opinion by the ICDR rules, OUT.csv.outlines.jsonl "
        "each lesion; where opinion and grade differ, a person is asked",
    )
    add_people_arguments(parser)
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> Outcome:
    """Scores the folder."""
    start_s = time.monotonic()
    from dr_pipeline.bundle.bundle_files import REFERENCE
    from dr_pipeline.bundle.signature import trusted_identity
    from dr_pipeline.errors import DataError
    from dr_pipeline.folder_rules import FolderRules
    from dr_pipeline.logs import logger
    from dr_pipeline.scoring.destination import Destination
    from dr_pipeline.scoring.input_safety import require_not_read
    from dr_pipeline.scoring.outputs import lesion_paths
    from dr_pipeline.scoring.run import Run, results_of
    from dr_pipeline.scoring.shards import Shard
    from dr_pipeline.scoring.summary import headline

    destination = Destination.of(args.out, args.work_dir)
    if args.watch and destination.address:
        raise DataError("an object store cannot add rows to a table", todo="watch with --out and a path")
    if args.watch and args.shadow:
        raise DataError("a challenger is scored beside a whole run", where="--shadow", todo="leave out --watch")
    destination.require_writable()
    rules, shard = FolderRules(tuple(args.ignore), args.follow_links), Shard(args.shard_index, args.num_shards)
    out = destination.table
    scoring = Run(
        sources_from(args),
        args.bundle,
        out,
        site=args.site,
        rules=rules,
        shard=shard,
        people=people_from(args),
        device=args.device,
        lesions=args.lesions,
    )
    inputs = [Path(name.removeprefix("@")) for name in (*args.sources, *args.lists)]
    require_not_read(results_of(scoring), (*inputs, args.people))
    bundle = trusted_identity(args.bundle, args.require_signature)
    if args.lesions:
        _require_lesions(args, bundle)
    shadow = _shadow(args, scoring, bundle) if args.shadow else None
    summary = _score(args, scoring, bundle)
    per_s = (summary.files - summary.resumed) / (time.monotonic() - start_s)
    if REFERENCE in bundle.sha256 and not args.watch and shard.count == 1:
        from dr_pipeline.clinic.drift.glance import glance

        if notice := glance(out, args.bundle):
            logger.warning("warning: %s", notice)
    wrote = destination.upload(results_of(scoring), () if args.lesions else lesion_paths(out))
    text = f"{headline(summary, people=bool(scoring.people))}; {per_s:.1f} files/s. "
    if shadow:
        text += f"\n{_score_shadow(args, shadow)}. "
        wrote += destination.upload((*results_of(shadow.run), *shadow.outputs))
    return Outcome(wrote, text + RESEARCH_USE, next_command="")


def _require_lesions(args: argparse.Namespace, bundle: "BundleIdentity") -> None:
    """Raises before any work where lesions cannot be looked for."""
    from dr_pipeline.bundle.bundle_files import LESIONS, no_lesions

    if LESIONS not in bundle.sha256:
        raise no_lesions(args.bundle)


def _score(args: argparse.Namespace, scoring: "Run", bundle: "BundleIdentity") -> "Summary":
    """Scores one run with the engine that was asked for."""
    from dr_pipeline.logs import logger
    from dr_pipeline.scoring.batched import scoring_engine
    from dr_pipeline.scoring.folder import score
    from dr_pipeline.scoring.outputs import partial_path
    from dr_pipeline.scoring.watch import watch

    task = scoring.task(bundle.bundle_id)
    engine = scoring_engine(engine_choice(args), task, device=args.device, time_limit_s=args.time_limit)
    try:
        with stopped_by_sigterm(), engine:
            if args.watch:
                return watch(scoring, bundle, engine)
            return score(scoring, bundle, engine, resume=args.resume)
    except KeyboardInterrupt:
        partial = partial_path(scoring.out)
        logger.warning("\n%s holds the rows that were finished; --resume goes on and writes %s", partial, scoring.out)
        raise


def _shadow(args: argparse.Namespace, scoring: "Run", bundle: "BundleIdentity") -> "Shadow":
    """The challenger's run, checked before the champion's begins."""
    from dr_pipeline.bundle.signature import trusted_identity
    from dr_pipeline.scoring.shadow import Shadow

    return Shadow.of(scoring, bundle, args.shadow, trusted_identity(args.shadow, args.require_signature))


def _score_shadow(args: argparse.Namespace, shadow: "Shadow") -> str:
    """Scores with the challenger, writes how far both agree, and returns it in a sentence."""
    from dr_pipeline.errors import DrPipelineError
    from dr_pipeline.logs import logger
    from dr_pipeline.scoring.agreement import agreement_text

    try:
        _score(args, shadow.run, shadow.challenger)
    except DrPipelineError:
        logger.warning("%s is whole; only the challenger has failed", shadow.champion.out)
        raise
    return agreement_text(shadow.write_agreement())


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """What ends a job or a service interrupts the run as Ctrl-C does; it can be resumed."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)
