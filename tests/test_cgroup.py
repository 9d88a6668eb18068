"""The limits of containers, by the files that the kernel shows in each kind of set-up."""

import math
from pathlib import Path

import pytest

from dr_pipeline import machine
from dr_pipeline.cgroup import Limits, read_limits

GIB = 1 << 30
UNLIMITED_V1 = "9223372036854771712"
V2 = "30 23 0:26 {mounted} {place} rw,nosuid - cgroup2 cgroup rw,nsdelegate"
V1_CPU = "31 23 0:29 {mounted} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
V1_MEMORY = "32 23 0:30 {mounted} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
DISK = "23 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw"


def host(root: Path, *, mounts: list[str], groups: list[str], files: dict[str, str]) -> Path:
    """Writes what the kernel would show below `root`."""
    shown = {
        "proc/self/mountinfo": "\n".join([DISK, *mounts]),
        "proc/self/cgroup": "\n".join(groups),
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }
    for name, text in shown.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def version_2(mounted: str = "/", place: str = "/sys/fs/cgroup") -> list[str]:
    return [V2.format(mounted=mounted, place=place)]


def version_1(mounted: str = "/") -> list[str]:
    return [V1_CPU.format(mounted=mounted), V1_MEMORY.format(mounted=mounted)]


CASES = {
    "a container with its own namespace": (
        version_2(),
        ["0::/"],
        {"cpu.max": "200000 100000", "memory.max": str(GIB)},
        Limits(2.0, GIB),
    ),
    "nothing set": (version_2(), ["0::/a/b"], {"a/b/cpu.max": "max 100000", "a/b/memory.max": "max"}, None),
    "a part of a core": (version_2(), ["0::/"], {"cpu.max": "50000 100000"}, Limits(0.5, math.inf)),
    "another period": (version_2(), ["0::/"], {"cpu.max": "75000 50000"}, Limits(1.5, math.inf)),
    "a nested group: the parent's limit is the smaller": (
        version_2(),
        ["0::/slice/pod/box"],
        {
            "slice/cpu.max": "800000 100000",
            "slice/pod/cpu.max": "300000 100000",
            "slice/pod/memory.max": str(2 * GIB),
            "slice/pod/box/cpu.max": "max 100000",
            "slice/pod/box/memory.max": str(4 * GIB),
        },
        Limits(3.0, 2 * GIB),
    ),
    "a sibling's limit does not count": (
        version_2(),
        ["0::/user/me"],
        {"user/other/cpu.max": "100000 100000", "user/me/cpu.max": "400000 100000"},
        Limits(4.0, math.inf),
    ),
    "a service that is slowed down before its limit": (
        version_2(),
        ["0::/system.slice/score.service"],
        {"system.slice/score.service/memory.high": str(GIB), "system.slice/score.service/memory.max": str(2 * GIB)},
        Limits(math.inf, GIB),
    ),
    "version 1": (
        version_1(),
        ["4:memory:/job", "3:cpu,cpuacct:/job", "1:name=systemd:/"],
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
            "cpu,cpuacct/job/cpu.cfs_quota_us": "250000",
            "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": UNLIMITED_V1,
            "memory/job/memory.limit_in_bytes": str(GIB),
        },
        Limits(2.5, GIB),
    ),
    "version 1 in a container that sees the host's path but its own group": (
        version_1(mounted="/docker/0123"),
        ["4:memory:/docker/0123", "3:cpu,cpuacct:/docker/0123"],
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "100000",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": str(GIB),
        },
        Limits(1.0, GIB),
    ),
    "version 1, a group inside such a container": (
        version_1(mounted="/docker/0123"),
        ["4:memory:/docker/0123/inner", "3:cpu,cpuacct:/docker/0123/inner"],
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
            "cpu,cpuacct/inner/cpu.cfs_quota_us": "200000",
            "cpu,cpuacct/inner/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": str(GIB),
        },
        Limits(2.0, GIB),
    ),
    "a group outside of what is mounted": (
        version_2(),
        ["0::/../../other"],
        {"cpu.max": "200000 100000"},
        Limits(2.0, math.inf),
    ),
    "both versions beside each other": (
        [*version_1(), *version_2(place="/sys/fs/cgroup/unified")],
        ["3:cpu,cpuacct:/", "2:memory:/job", "0::/"],
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
            "memory/job/memory.limit_in_bytes": str(GIB),
            "unified/cgroup.procs": "1",
        },
        Limits(math.inf, GIB),
    ),
    "a mount point with a blank": (
        version_2(place=r"/sys/fs/cgroup/my\040groups"),
        ["0::/"],
        {"my groups/cpu.max": "100000 100000"},
        Limits(1.0, math.inf),
    ),
    "a group's name with a colon": (
        version_2(),
        ["0::/kubepods/cri:0123"],
        {"kubepods/cri:0123/cpu.max": "100000 100000"},
        Limits(1.0, math.inf),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_smallest_limit_on_the_way_up_holds(tmp_path: Path, name: str) -> None:
    mounts, groups, files, expected = CASES[name]
    found = read_limits(host(tmp_path, mounts=mounts, groups=groups, files=files))
    assert found == (expected or Limits(math.inf, math.inf))


def test_a_system_without_control_groups_has_no_limit(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == Limits(math.inf, math.inf)


@pytest.mark.parametrize(
    ("quota", "runnable", "cores"), [(2.0, 64, 2), (1.5, 64, 2), (0.2, 64, 1), (8.0, 4, 4), (math.inf, 16, 16)]
)
def test_cores_are_the_smaller_of_the_share_and_the_set(
    monkeypatch: pytest.MonkeyPatch, quota: float, runnable: int, cores: int
) -> None:
    monkeypatch.setattr(machine, "read_limits", lambda: Limits(quota, math.inf))
    monkeypatch.setattr(machine, "_runnable_cores", lambda: runnable)
    assert machine.usable_cores() == cores


@pytest.mark.parametrize(
    ("memory", "threads", "processes"), [(GIB // 8, 1, 1), (GIB, 5, 2), (4 * GIB, 20, 10), (1 << 50, 64, 64)]
)
def test_threads_fit_into_the_memory(
    monkeypatch: pytest.MonkeyPatch, memory: int, threads: int, processes: int
) -> None:
    monkeypatch.setattr(machine, "_runnable_cores", lambda: 64)
    monkeypatch.setattr(machine, "usable_memory", lambda: memory)
    monkeypatch.setattr(machine, "read_limits", lambda: Limits(math.inf, memory))
    assert (machine.usable_threads(), machine.usable_processes()) == (threads, processes)


def test_memory_is_the_machines_or_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "read_limits", lambda: Limits(math.inf, math.inf))
    physical = machine.usable_memory()
    assert physical > 1 << 28
    monkeypatch.setattr(machine, "read_limits", lambda: Limits(math.inf, 1 << 28))
    assert machine.usable_memory() == 1 << 28
    assert machine.describe_machine()["memory_gib"] == 0.2
    monkeypatch.setattr(machine, "read_limits", lambda: Limits(math.inf, float(UNLIMITED_V1)))
    assert machine.usable_memory() == physical


@pytest.mark.parametrize(("quota", "before", "after"), [(2.0, None, "2"), (2.0, "1", "1"), (math.inf, None, None)])
def test_libraries_start_as_many_threads_as_the_share_allows(
    monkeypatch: pytest.MonkeyPatch, quota: float, before: str | None, after: str | None
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if before:
        monkeypatch.setenv("OMP_NUM_THREADS", before)
    monkeypatch.setattr(machine, "read_limits", lambda: Limits(quota, math.inf))
    monkeypatch.setattr(machine, "_runnable_cores", lambda: 64)
    machine.limit_library_threads()
    assert machine.os.environ.get("OMP_NUM_THREADS") == after
