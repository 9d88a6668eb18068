"""The command line: `dr-pipeline VERB …`. One verb per DVC stage, and the user's own commands.

Imports nothing heavy: a verb's module is imported when the verb is called, and what it needs when it runs.
"""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from dr_pipeline import __version__
from dr_pipeline.errors import DrPipelineError
from dr_pipeline.logs import logger, show_messages
from dr_pipeline.machine import limit_library_threads
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages import STAGES
from dr_pipeline.stages.privacy import close_folders
from dr_pipeline.streams import never_fail

COMMANDS = (
    "score",
    "explain",
    "merge",
    "replay",
    "bench",
    "shifts",
    "evaluate",
    "compare",
    "validate-external",
    "results",
    "listen",
    "serve",
    "review",
    "drift",
    "verify",
    "pack",
    "unpack",
    "keygen",
    "sign",
    "recalibrate",
    "recipe",
    "plan",
    "models",
    "experiment",
    "labels",
    "track",
    "promote",
    "rollback",
)

# Verbs whose packages another extra than `train` brings, and packages that another one brings for any verb.
_EXTRAS = dict.fromkeys(("results", "listen", "review", "drift"), "clinic") | {"serve": "serve"}
_EXTRA_OF_MODULE = {"minisign": "signing"}

# What to do about an error of the system, by its number.
_TODO = {
    errno.ENOENT: "check the path",
    errno.EACCES: "use a place that you may read and write, or have the rights changed",
    errno.EPERM: "use a place that you may read and write, or have the rights changed",
    errno.EROFS: "name a place that can be written to",
    errno.ENOSPC: "free space on the disk that is written to, or name a place on another one",
    errno.EDQUOT: "free space in your quota, or name a place on another disk",
    errno.EISDIR: "name a file; this is a folder",
    errno.ENOTDIR: "check the path: a part of it is a file",
    errno.EEXIST: "name a place where no file is in the way",
    errno.ENAMETOOLONG: "name a shorter path",
}

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

# No library sends telemetry unless the user has enabled it.
_QUIET = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the process's exit code, which depends on the work and not on its messages.

    Args:
        arguments: Words of the command line; None where this process is the program `dr-pipeline`.
    """
    if arguments is None:
        never_fail()
    show_messages()
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    limit_library_threads()
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb = next((word for word in words if not word.startswith("-")), None)
    args = _parser(verb).parse_args(words)
    try:
        if verb in STAGES and "DVC_ROOT" in os.environ:  # which DVC sets for the stages that it runs
            close_folders(Path(os.environ["DVC_ROOT"]))
        outcome = args.run(args)
    except (DrPipelineError, ModuleNotFoundError, OSError) as error:
        message = _error_message(error, verb)
        if message is None or os.environ.get("DR_PIPELINE_DEBUG"):
            raise
        logger.error("dr-pipeline %s: %s", verb, message)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        logger.error("\ndr-pipeline %s: interrupted", verb)
        return EXIT_INTERRUPTED
    for path in outcome.wrote:
        sys.stdout.write(f"wrote {path}\n")
    sys.stdout.write(f"{outcome.headline}\n")
    if outcome.next_command:
        sys.stdout.write(f"next: {outcome.next_command}\n")
    return int(outcome.exit_code)


def _error_message(error: DrPipelineError | ModuleNotFoundError | OSError, verb: str | None) -> str | None:
    """The message for the user; None where the error is a bug in this program and needs its traceback."""
    if isinstance(error, ModuleNotFoundError):
        if (error.name or "").startswith("dr_pipeline"):
            return None
        extra = _EXTRA_OF_MODULE.get(error.name or "", _EXTRAS.get(verb or "", "train"))
        return (
            f"the package {error.name!r} is not installed\n"
            f"  to do: pip install 'dr-pipeline[{extra}]'; the base installation has the scoring half only"
        )
    if isinstance(error, OSError):  # a full disk, a folder where a file is to be written, no right to write
        path = error.filename2 or error.filename  # of a renaming, what the file was to become
        todo = _TODO.get(error.errno or 0, "")
        return str(DrPipelineError(error.strerror or str(error), where=f"{path}" if path else "", todo=todo))
    return str(error)


def _parser(verb: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dr-pipeline",
        description=f"Grading of diabetic retinopathy from colour fundus photographs. {RESEARCH_USE}",
        epilog="`dvc repro` runs the stages in their order; `dr-pipeline VERB --help` explains one.",
        formatter_class=_formatter,
    )
    parser.add_argument("--version", action="version", version=f"dr-pipeline {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    known = (*STAGES, *COMMANDS)
    for name in [verb] if verb in known else known:
        module = module_of(name)
        summary, _, rest = (module.__doc__ or "").partition("\n")
        sub = verbs.add_parser(name, help=summary, description=f"{summary}\n{rest}", formatter_class=_formatter)
        module.add_arguments(sub)
        if name == verb and hasattr(module, "help_epilog"):
            sub.epilog = module.help_epilog()
        sub.set_defaults(run=module.run)
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Keeps the docstrings' lines, and each verb on one line with its sentence."""
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=16, width=120)


def module_of(verb: str) -> ModuleType:
    """The module of a verb; imported when it is asked for."""
    package = "stages" if verb in STAGES else "commands"
    return importlib.import_module(f"dr_pipeline.{package}.{verb.replace('-', '_')}")


if __name__ == "__main__":
    sys.exit(main())
