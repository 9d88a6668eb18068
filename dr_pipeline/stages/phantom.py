"""Generates the synthetic fundus photographs of the default recipe."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("phantom.{name}",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the stage's paths and the entry of params.yaml."""
    parser.add_argument("--params", type=Path, required=True, help="the parameter file")
    parser.add_argument("--name", required=True, help="entry of its section `phantom`")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for photographs/, labels.csv, lesion_masks/ and more"
    )
    parser.add_argument("--without-lesions", action="store_true", help="the same eyes without their lesions")


def run(args: argparse.Namespace) -> Outcome:
    """Renders the data set; see `dr_pipeline.intake.phantom.generate`."""
    from dr_pipeline.intake.phantom.faults import num_added_files
    from dr_pipeline.intake.phantom.generate import LABELS, write_phantom
    from dr_pipeline.machine import usable_processes
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.params.phantom_params import Phantom

    params = load_section(args.params, f"phantom.{args.name}", Phantom)
    write_phantom(params, args.out, without_lesions=args.without_lesions, workers=usable_processes())
    num_files = params.patients * 2 + num_added_files(params.faults)
    lesions = "without lesions" if args.without_lesions else "with lesions"
    return Outcome(
        wrote=(args.out / LABELS, args.out),
        headline=f"{num_files} photographs of {params.patients} patients, {lesions}",
        next_command="dvc repro intake",
    )
