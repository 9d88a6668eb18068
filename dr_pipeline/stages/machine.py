"""Describes this machine, and the folders of several sources, so that what depends on them runs again.

DVC hashes files, not machines, and its dependencies are fixed paths, of which `dataset.sources` may name any number.
The two files written here stand for them. It runs at every `dvc repro` and writes the same bytes where nothing changed.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--out", type=Path, required=True, help="the description to write")
    parser.add_argument("--params", type=Path, help="params.yaml; reads dataset.sources")
    parser.add_argument("--sources", type=Path, help="digest of each source's files to write; needs --params")


def run(args: argparse.Namespace) -> Outcome:
    """Describes, writes.

    Raises:
        ParamsError: params.yaml has no list of sources with roots, or --sources comes without --params.
        DataError: The folder of a source is missing.
    """
    from dr_pipeline.files import write_json
    from dr_pipeline.intake.source_files import source_digests
    from dr_pipeline.machine import describe_machine
    from dr_pipeline.tracking.guard import guarded, switched_on
    from dr_pipeline.tracking.store import files_root, follow_moved_repository

    if switched_on():  # the one stage of every `dvc repro`, also of the first after the repository was moved
        guarded(lambda: follow_moved_repository(files_root(Path.cwd())))
    machine = describe_machine()
    write_json(args.out, machine)
    if args.sources is not None:
        write_json(args.sources, source_digests(args.params))
    return Outcome(
        wrote=(args.out, *([] if args.sources is None else [args.sources])),
        headline=f"machine {machine['fingerprint']}: {machine['cpu']}, {machine['usable_cores']} usable core(s), "
        f"{machine['memory_gib']} GiB",
        next_command="dvc repro latency",
    )
