"""Devices and processes: two on the CPU give the figures and gradients of one."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.training.fabric import make_fabric, num_loader_workers, prepare_grader, set_determinism
from tests.factories import REPOSITORY, two_processes
from tests.factories.training import CANDIDATE, grader_for, same, section

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 7])
def test_random_numbers_are_those_that_monai_would_seed(seed: int) -> None:
    from monai.utils import set_determinism as monais

    drawn = []
    for set_seed in (monais, set_determinism):
        set_seed(seed)
        drawn.append((random.random(), np.random.rand(), torch.rand(1)))
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
    assert drawn[0] == drawn[1]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("together")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*torchrun, "-m", "tests.factories.two_processes", str(out)],
        cwd=REPOSITORY, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return out


def test_fabric_run_equals_torchrun(together: Path, tmp_path: Path) -> None:
    fabric = [str(Path(sys.executable).with_name("fabric")), "run", "--devices", "2"]
    ended = subprocess.run(
        [*fabric, "tests/factories/two_processes.py", str(tmp_path)], cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert facts(tmp_path) == facts(together)
    assert same(torch.load(tmp_path / "weights-1.pt"), torch.load(together / "weights-1.pt"))


@pytest.mark.parametrize(("option", "value"), [("strategy", "fsdp"), ("precision", "16-mixed"), ("accelerator", "tpu")])
def test_options_of_fabric_run_that_params_decide_are_refused(
    option: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LT_{option.upper()}", value)
    with pytest.raises(EnvironmentProblem, match=f"fabric run --{option}={value}"):
        make_fabric("32-true", CANDIDATE.fine_tuning)


def test_options_of_fabric_run_do_not_reach_a_later_fabric(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CLI_USED": "1", "DEVICES": "2", "NUM_NODES": "1", "PRECISION": "32-true"}.items():
        monkeypatch.setenv(f"LT_{name}", value)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert make_fabric("32-true", CANDIDATE.fine_tuning).world_size == 1
    assert not [name for name in os.environ if name.startswith("LT_")]


def facts(out: Path) -> list[dict[str, Any]]:
    return [json.loads((out / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


def test_each_photograph_is_seen_once_in_each_epoch(together: Path) -> None:
    first, second = facts(together)
    assert [sorted(a + b) for a, b in zip(first["positions"], second["positions"], strict=True)] == [
        list(range(41))
    ] * 2


def test_figures_equal_those_of_one_process_bitwise(together: Path) -> None:
    alone = list(two_processes.figures())
    assert [rank["figures"] for rank in facts(together)] == [alone, alone]


@pytest.mark.parametrize("how", two_processes.GRADIENTS)
def test_gradients_are_those_of_one_process(together: Path, tmp_path: Path, how: str) -> None:
    alone = two_processes.first_gradients(tmp_path, recomputed=how == "recomputed")
    for rank in (0, 1):
        shared = torch.load(together / f"gradients-{how}-{rank}.pt")
        assert {name.rpartition("grader.")[2] for name in shared} == {name.rpartition("grader.")[2] for name in alone}
        for name, gradient in zip(shared, alone.values(), strict=True):
            assert torch.allclose(shared[name], gradient, rtol=1e-6, atol=1e-6), name
    assert max(gradient.abs().max().item() for gradient in alone.values()) > 0.01


def test_both_processes_end_with_the_same_weights(together: Path) -> None:
    one, other = (torch.load(together / f"weights-{rank}.pt") for rank in (0, 1))
    assert same(one, other)


def test_all_processes_resume_from_the_first_ones_checkpoint(together: Path) -> None:
    one, other = (torch.load(together / f"best-{rank}.pt") for rank in (0, 1))
    assert same(one, other)
    assert same(one, torch.load(together / "weights-0.pt"))


def test_sync_batch_norm_is_compatible_with_gradient_checkpointing() -> None:
    two_gpus = SimpleNamespace(world_size=2, device=torch.device("cuda"))
    twice = section(CANDIDATE, "memory", gradient_checkpointing=True)
    made = prepare_grader(two_gpus, grader_for(), twice)  # type: ignore[arg-type]
    layers = [layer for layer in made.modules() if isinstance(layer, torch.nn.SyncBatchNorm)]
    assert layers
    assert all(layer._forward_pre_hooks and layer._forward_hooks for layer in layers)


def test_only_the_first_process_writes(together: Path) -> None:
    assert sorted(path.name for path in (together / "frozen").iterdir()) == ["last.pt"]


@pytest.mark.parametrize(
    ("device", "processes", "cores", "workers"),
    [("cuda", None, 12, 12), ("cuda", 1, 64, 16), ("cuda", 4, 16, 4), ("cuda", 8, 4, 1), ("cpu", 2, 16, 0)],
)
def test_the_processes_of_a_machine_share_its_cores(
    monkeypatch: pytest.MonkeyPatch, device: str, processes: int | None, cores: int, workers: int
) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if processes is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.setattr("dr_pipeline.training.fabric.usable_processes", lambda: cores)
    fabric: Any = SimpleNamespace(device=torch.device(device))
    assert num_loader_workers(fabric) == workers
