"""Writes the code version of each stage, so that a stage re-runs when its own code changes.

One file per stage: the hash of its import closure without comments and docstrings, and the hash of each module in it.
DVC compares the files; a changed docstring leaves them as they are. Not `always_changed`: DVC runs this stage when a
file of the package differs, which finds the same changes without a process in every no-op.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write, one JSON file per stage")


def run(args: argparse.Namespace) -> Outcome:
    """Hashes the code of each stage and writes the files."""
    from dr_pipeline.code_version import code_version, module_hashes
    from dr_pipeline.files import write_json
    from dr_pipeline.stages import STAGES, stage_module

    stages = [stage for stage in STAGES if stage != "code"]
    for stage in stages:
        module = stage_module(stage)
        document = {"schema_version": 1, "sha256": code_version(module), "modules": module_hashes(module)}
        write_json(args.out / f"{stage}.json", document)
    return Outcome(wrote=(args.out,), headline=f"code version of {len(stages)} stages", next_command="dvc repro")
