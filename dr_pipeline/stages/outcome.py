"""The outcome that every stage reports."""

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """Printed by the command line: what was written, one headline figure, the next command."""

    wrote: tuple[Path | str, ...]
    headline: str
    next_command: str
    exit_code: int = 0  # as of `diff`: 1 where the work was done and its result is a no; 2 is an error


def shell_word(path: Path | str) -> str:
    """A path as one word of a command to copy: quoted where the shell would otherwise read it as something else."""
    return shlex.quote(str(path))
