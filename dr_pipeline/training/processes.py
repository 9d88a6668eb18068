"""Several processes for one training: `torchrun` around the command that was given."""

import os
import sys
import uuid
from collections.abc import Mapping
from typing import Any

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.machine import usable_cores

PROCESSES = "DR_PIPELINE_PROCESSES"


def run_in_processes(verb: str, arguments: Mapping[str, Any]) -> int:
    """Runs this command in several processes where the environment asks for it, as `torchrun --standalone` does.

    The number of processes belongs to the machine, not to params.yaml; `dvc repro` passes it on.

    Args:
        verb: The command, such as `train`.
        arguments: Its parsed arguments.

    Returns:
        How many processes have run it; 0 where this one is to run it.

    Raises:
        EnvironmentProblem: The variable holds no number from 1.
        SystemExit: A process failed, and has said why.
        KeyboardInterrupt: They were interrupted, and the first has said what is kept.
    """
    wanted = os.environ.get(PROCESSES, "1")
    if not wanted.isdecimal() or wanted == "0":
        raise EnvironmentProblem(f"{PROCESSES} is {wanted!r}", todo="give a number of processes, such as 2")
    if wanted == "1" or "LOCAL_RANK" in os.environ:  # the latter: this is one of them
        return 0

    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // int(wanted))))
    here = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=int(wanted),
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,  # as torchrun does: what failed once would only fail again
    )
    try:
        elastic_launch(here, sys.executable)("-m", "dr_pipeline", *command_line(verb, arguments))
    except ChildFailedError as error:
        raise SystemExit(max(1, next(iter(error.failures.values())).exitcode)) from None
    except SignalException:
        raise KeyboardInterrupt from None
    return int(wanted)


def is_first_process() -> bool:
    """Whether this process writes, tracks and speaks: rank 0, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def command_line(verb: str, arguments: Mapping[str, Any]) -> list[str]:
    """The words that give these arguments; a flag stands where it is True."""
    words = [verb]
    for name, value in arguments.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not False and value is not None and not callable(value):  # the parser's own entry is a function
            words += [option, str(value)]
    return words
