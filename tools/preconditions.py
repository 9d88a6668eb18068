"""Checks what `make` needs before it installs anything: `python3 tools/preconditions.py [--installed] [GOAL ...]`.

Runs on the Python that is there, so that even an old one reports what is missing: nothing newer than Python 3.6, and
nothing but the standard library.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 14)  # of a newer Python the locked packages have no wheels
OLDEST_GLIBC = (2, 28)  # of the wheels of torch and ONNX Runtime: manylinux_2_28
# The environment takes 6.7 GiB, its wheels 3 GiB while they are unpacked, the default run with its cache 0.5 GiB.
ENVIRONMENT_GIB, WHEELS_GIB, RUN_GIB = 7.0, 3.0, 1.0


def problems(root, goals, *, installed):
    """Sentences, each with what to do; none where everything is there.

    Args:
        root: The repository.
        goals: The goals of `make`.
        installed: Whether the environment is there already.
    """
    found = [*_git_problems(root, goals), *_space_problems(root, installed=installed)]
    if not installed:
        found += [*_python_problems(), *_system_problems(), *_folder_problems(root)]
    return found


def _python_problems():
    version = sys.version_info[:2]
    if version < OLDEST:
        yield f"Python {platform.python_version()} is too old: 3.11 or newer is needed; try make PYTHON=python3.12"
    elif version > NEWEST:
        yield f"Python {platform.python_version()} is too new for the locked packages; try make PYTHON=python3.13"
    if sys.maxsize < 2**32:
        yield "this Python is a 32-bit program, for which the packages do not exist: install a 64-bit one"
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        yield "this Python cannot make a virtual environment: on Debian and Ubuntu, apt-get install python3-venv"


def _system_problems():
    if platform.system() != "Linux":
        return
    version = glibc_version()
    if version is None:
        yield "this Linux has no glibc (Alpine, for example), and the packages need it: use Debian, Ubuntu or Red Hat"
    elif version < OLDEST_GLIBC:
        yield f"glibc {version[0]}.{version[1]} is too old, the packages need 2.28: use a newer distribution"


def glibc_version():
    """Such as (2, 36); None where the C library is another."""
    try:
        name, _, version = os.confstr("CS_GNU_LIBC_VERSION").partition(" ")
    except (ValueError, OSError, AttributeError):
        return None
    return tuple(int(number) for number in version.split(".")[:2]) if name == "glibc" else None


def _folder_problems(root):
    if os.pathsep in str(root):
        yield f"the folder's name has a {os.pathsep!r}, which no virtual environment can have: rename {root}"
    if not os.access(str(root), os.W_OK):
        yield f"no right to write in {root}: copy the repository to a folder of your own"


def _space_problems(root, *, installed):
    needed = [(root, RUN_GIB)]
    if not installed:
        needed += [(root, ENVIRONMENT_GIB), (Path(tempfile.gettempdir()), WHEELS_GIB)]
    disks = {}  # device: a folder on it, and what is needed there
    for folder, gib in needed:
        device = folder.stat().st_dev
        first, sum_gib = disks.get(device, (folder, 0.0))
        disks[device] = (first, sum_gib + gib)
    for folder, gib in disks.values():
        free_gib = shutil.disk_usage(str(folder)).free / 2**30
        if free_gib < gib:
            hint = "" if folder == root else ", or set TMPDIR to a folder on another disk"
            yield f"{free_gib:.1f} GiB are free in {folder}, {gib:.0f} are needed: make room{hint}"


def _git_problems(root, goals):
    if (root / ".git").exists():
        answer = git_answer(root)
        if answer:
            yield f"git cannot read this repository: {answer}"
    elif "test" in goals:
        yield (
            "make test needs a clone, since tests read what git lists, and this folder has no .git: "
            "git clone the repository, or here: git init && git add -A && git commit -m start"
        )
    if "test" in goals and shutil.which("git") is None:
        yield "make test needs the program git: install it (Debian and Ubuntu: apt-get install git)"


def git_answer(root):
    """Why git refuses the repository; empty where it does not, and without the program, which DVC does not need."""
    if shutil.which("git") is None:
        return ""
    command = ["git", "-C", str(root), "rev-parse", "--git-dir"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    text = done.stderr.decode("utf-8", "replace").strip().replace("\n", " ")
    return (text or f"exit code {done.returncode}") if done.returncode else ""


def main(arguments):
    """Prints each problem to standard error; returns the exit code."""
    root = Path(__file__).resolve().parent.parent
    goals = [word for word in arguments if word != "--installed"]
    found = problems(root, goals, installed="--installed" in arguments)
    for sentence in found:
        sys.stderr.write(f"dr_pipeline: {sentence}\n")
    return 2 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
