"""Describes this machine, so that latency is measured again on another one, and the machine to select for.

DVC hashes files whose paths dvc.yaml states, neither machines nor a path from params.yaml; these files are the
dependencies that stand for them. The stage runs at every `dvc repro` and writes the same bytes where nothing changed.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ()  # runs every time, whatever the parameters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--out", type=Path, required=True, help="the description to write")
    parser.add_argument("--params", type=Path, metavar="PATH", help="params.yaml; reads deployment.target")
    parser.add_argument("--target", type=Path, metavar="PATH", help="JSON to write: that target, and its file's hash")


def run(args: argparse.Namespace) -> Outcome:
    """Describes, writes.

    Raises:
        ParamsError: params.yaml cannot be read.
        DataError: The file of the target is missing, or no file of `bench latency`.
    """
    from dr_pipeline.files import write_json
    from dr_pipeline.machine import describe_machine
    from dr_pipeline.tracking.guard import guarded, switched_on
    from dr_pipeline.tracking.store import files_root, follow_moved_repository

    if switched_on():  # the one stage of every `dvc repro`, also of the first after the repository was moved
        guarded(lambda: follow_moved_repository(files_root(Path.cwd())))
    machine = describe_machine()
    write_json(args.out, machine)
    if args.params and args.target:
        write_json(args.target, _target(args.params))
    return Outcome(
        wrote=tuple(path for path in (args.out, args.target) if path),
        headline=f"machine {machine['fingerprint']}: {machine['cpu']}, {machine['usable_cores']} usable core(s), "
        f"{machine['memory_gib']} GiB",
        next_command="dvc repro latency",
    )


def _target(params: Path) -> dict[str, str]:
    """`deployment.target`, and the SHA-256 of its file where it is one.

    What else is wrong with the section is for `select` to say.
    """
    from dr_pipeline.files import sha256_file
    from dr_pipeline.params.evaluation import MACHINE
    from dr_pipeline.params.params_file import read_document
    from dr_pipeline.scoring.latency_file import read_latency_file

    deployment = read_document(params)["deployment"]
    target = str(deployment.get("target") or MACHINE) if isinstance(deployment, dict) else MACHINE
    if target == MACHINE:
        return {"target": target}
    read_latency_file(Path(target))  # refused before anything is trained
    return {"target": target, "sha256": sha256_file(Path(target))}
