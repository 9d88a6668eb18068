"""The limits that a container, a service or a batch job sets on this process: Linux control groups, both versions.

A container on 64 cores that may use two of them still sees 64 cores and all memory of its host. Each group can set a
limit, from the process's own up to the root, and the smallest holds. Sources: man 7 cgroups, man 5 proc (mountinfo);
the kernel's documentation cgroup-v2.rst, sched-bwc.rst and cgroup-v1/memory.rst.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_VERSION_2 = "cgroup2"
_MEMORY_FILES = ("memory.max", "memory.high", "memory.limit_in_bytes")


@dataclass(frozen=True)
class Limits:
    """What this process may use.

    Attributes:
        cores: Seconds of computing per second, such as 1.5; infinite where nothing is set.
        memory_bytes: Infinite where nothing is set.
    """

    cores: float
    memory_bytes: float


def read_limits(root: Path = Path("/")) -> Limits:
    """The limits of this process; none where the system has no control groups.

    Args:
        root: Folder in which `proc` and `sys` lie.
    """
    groups = list(_groups(root))
    return Limits(
        cores=min(map(_cores, groups), default=math.inf),
        memory_bytes=min(map(_memory, groups), default=math.inf),
    )


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the process's groups, of every hierarchy, with all groups above them that are visible."""
    paths = _own_paths(root / "proc/self/cgroup")
    for line in _lines(root / "proc/self/mountinfo"):
        mount, _, source = line.partition(" - ")
        mounted, place = (_unescaped(field) for field in mount.split()[3:5])
        kind, _, options = source.split(maxsplit=2)
        if kind not in ("cgroup", _VERSION_2):
            continue
        for controller in [""] if kind == _VERSION_2 else options.split(","):
            if controller in paths:
                folder = root / place.lstrip("/")
                inner = _below(paths[controller], mounted)
                yield from (folder / inner, *(folder / parent for parent in inner.parents))
                break


def _own_paths(file: Path) -> dict[str, str]:
    """The process's group by controller, such as `cpu`; version 2 has one hierarchy, under the empty name."""
    paths: dict[str, str] = {}
    for line in _lines(file):
        _, controllers, path = line.split(":", maxsplit=2)
        paths |= dict.fromkeys(controllers.split(","), path)
    return paths


def _below(path: str, mounted: str) -> PurePosixPath:
    """A group's path below the mount point.

    In a container only its own group may be mounted, under the host's path or under none: what cannot be resolved is
    the mount point itself.
    """
    group = PurePosixPath(path)
    if ".." in group.parts or not group.is_relative_to(mounted):
        return PurePosixPath()
    return group.relative_to(mounted)


def _cores(group: Path) -> float:
    quota, _, period = _text(group / "cpu.max").partition(" ")
    if not quota:
        quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):  # "max", or -1 in version 1
        return math.inf
    return int(quota) / int(period)


def _memory(group: Path) -> float:
    texts = [_text(group / name) for name in _MEMORY_FILES]
    return min((int(text) for text in texts if text.isdecimal() and int(text)), default=math.inf)


def _unescaped(field: str) -> str:
    r"""A path as mountinfo has it, with blanks as \040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _text(file: Path) -> str:
    return " ".join(_lines(file))


def _lines(file: Path) -> list[str]:
    """The lines of a file of the kernel; none where it is missing or not for this user, as in a locked-down host."""
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
