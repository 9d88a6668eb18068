"""Describes this machine, so that latency is measured again on another one.

DVC hashes files, not machines; this file is the dependency that stands for the machine. It runs at every `dvc repro`
and writes the same bytes on the same machine.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--out", type=Path, required=True, help="the description to write")


def run(args: argparse.Namespace) -> Outcome:
    """Describes, writes."""
    from dr_pipeline.files import write_json
    from dr_pipeline.machine import describe_machine
    from dr_pipeline.tracking.guard import guarded, switched_on
    from dr_pipeline.tracking.store import files_root, follow_moved_repository

    if switched_on():  # the one stage of every `dvc repro`, also of the first after the repository was moved
        guarded(lambda: follow_moved_repository(files_root(Path.cwd())))
    machine = describe_machine()
    write_json(args.out, machine)
    return Outcome(
        wrote=(args.out,),
        headline=f"machine {machine['fingerprint']}: {machine['cpu']}, {machine['usable_cores']} usable core(s), "
        f"{machine['memory_gib']} GiB",
        next_command="dvc repro latency",
    )
