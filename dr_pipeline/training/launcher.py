"""Starts one training in several processes: `torchrun` around the given command. Imports torch only where it does."""

import os
import sys
import uuid
from collections.abc import Mapping
from typing import Any

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.machine import usable_cores

PROCESSES = "DR_PIPELINE_PROCESSES"


def run_in_processes(verb: str, arguments: Mapping[str, Any]) -> int:
    """Runs this command in several processes where the environment requests it, as `torchrun --standalone` does.

    The number of processes is a property of the machine, not of params.yaml; `dvc repro` passes the variable on.

    Fabric's own launcher is not used: it restarts `sys.argv`, which is not this command where a caller passes its own
    arguments, and on a failed child it kills the first process within 5 s by SIGKILL. Exit status and error message
    would be lost, and the best epoch would not be saved.

    Args:
        verb: The command, such as `train`.
        arguments: Its parsed arguments.

    Returns:
        Number of processes that have run it; 0 where this process is to run it.

    Raises:
        EnvironmentProblem: The variable holds no number from 1.
        SystemExit: A process failed, after it has reported the reason.
        KeyboardInterrupt: The processes were interrupted, after the first has reported what is saved.
    """
    requested = os.environ.get(PROCESSES, "1")
    if not requested.isdecimal() or requested == "0":
        raise EnvironmentProblem(f"{PROCESSES} is {requested!r}", todo="give a number of processes, such as 2")
    if requested == "1" or "LOCAL_RANK" in os.environ:  # the latter: this is one of them
        return 0

    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    share, present = max(1, usable_cores() // int(requested)), os.environ.get("OMP_NUM_THREADS", "")
    if not present.isdecimal() or int(present) > share:  # a smaller number is the user's wish
        os.environ["OMP_NUM_THREADS"] = str(share)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=int(requested),
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,  # as in torchrun: a failed training would only fail again
    )
    try:
        elastic_launch(config, sys.executable)("-m", "dr_pipeline", *command_line(verb, arguments))
    except ChildFailedError as error:
        raise SystemExit(max(1, next(iter(error.failures.values())).exitcode)) from None
    except SignalException:
        raise KeyboardInterrupt from None
    return int(requested)


def is_first_process() -> bool:
    """Whether this process writes, tracks and reports: rank 0, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def command_line(verb: str, arguments: Mapping[str, Any]) -> list[str]:
    """The command-line words for parsed arguments; a flag is present where it is True."""
    words = [verb]
    for name, value in arguments.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not False and value is not None and not callable(value):  # the parser adds the command's function
            words += [option, str(value)]
    return words
