"""The arguments of commands that work on many files: which engine, and how large."""

import argparse
from typing import TYPE_CHECKING

from dr_pipeline.commands.argument_types import positive_int

if TYPE_CHECKING:
    from dr_pipeline.engines.choice import EngineChoice


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the engine's arguments."""
    parser.add_argument(
        "--workers",
        "--threads",
        type=positive_int,
        metavar="N",
        help="processes, each with a file of its own (default: by cores and memory)",
    )
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="processes of this machine (default), or the workers of a Ray cluster; the result is the same",
    )
    parser.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="the Ray cluster, such as 10.0.0.1:6379 (default: RAY_ADDRESS, or else one on this machine alone)",
    )


def engine_choice(args: argparse.Namespace) -> "EngineChoice":
    """The engine that was asked for."""
    from dr_pipeline.engines.choice import EngineChoice, EngineName

    return EngineChoice(EngineName(args.engine), args.workers, args.ray_address)
