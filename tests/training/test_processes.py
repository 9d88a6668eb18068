"""Two processes on the CPU: each photograph once, the figures and gradients of one process."""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.stages import train as stage
from dr_pipeline.training.fabric import make_fabric, prepared
from dr_pipeline.training.processes import command_line, is_first_process, run_in_processes
from tests.factories import REPOSITORY, two_processes
from tests.factories.training import CANDIDATE, grader_for, same, section


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


def test_fabric_run_is_as_torchrun(together: Path, tmp_path: Path) -> None:
    fabric = [str(Path(sys.executable).with_name("fabric")), "run", "--devices", "2"]
    ended = subprocess.run(
        [*fabric, "tests/factories/two_processes.py", str(tmp_path)], cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert facts(tmp_path) == facts(together)
    assert same(torch.load(tmp_path / "weights-1.pt"), torch.load(together / "weights-1.pt"))


@pytest.mark.parametrize(
    ("option", "wanted"), [("strategy", "fsdp"), ("precision", "16-mixed"), ("accelerator", "tpu")]
)
def test_what_params_and_machine_decide_is_refused_of_fabric_run(
    option: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LT_{option.upper()}", wanted)
    with pytest.raises(EnvironmentProblem, match=f"fabric run --{option}={wanted}"):
        make_fabric("32-true", CANDIDATE.fine_tuning)


def test_nothing_of_fabric_run_reaches_a_fabric_made_later(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_figures_are_those_of_one_process_to_the_bit(together: Path) -> None:
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


def test_the_first_process_tells_the_others_where_the_checkpoint_stands(together: Path) -> None:
    one, other = (torch.load(together / f"taken-{rank}.pt") for rank in (0, 1))
    assert same(one, other)
    assert same(one, torch.load(together / "weights-0.pt"))


def test_batch_normalisation_over_gpus_moves_once_with_activations_computed_twice() -> None:
    two_gpus = SimpleNamespace(world_size=2, device=torch.device("cuda"))
    twice = section(CANDIDATE, "memory", gradient_checkpointing=True)
    made = prepared(two_gpus, grader_for(), twice)  # type: ignore[arg-type]
    layers = [layer for layer in made.modules() if isinstance(layer, torch.nn.SyncBatchNorm)]
    assert layers
    assert all(layer._forward_pre_hooks and layer._forward_hooks for layer in layers)


def test_only_the_first_process_writes(together: Path) -> None:
    assert sorted(path.name for path in (together / "frozen").iterdir()) == ["last.pt"]


def test_the_command_is_started_again_with_its_own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    stage.add_arguments(parser)
    words = [
        "--candidate", "lite0", "--fold", "0", "--params", "p.yaml", "--canvases", "c", "--splits", "s", "--readings",
        "r", "--out", "o", "--history", "h", "--layers", "l", "--report", "j", "--scratch", "x", "--take-best",
    ]  # fmt: skip
    given = parser.parse_args(words)
    given.run = stage.run
    assert parser.parse_args(command_line("train", vars(given))[1:]).__dict__ == parser.parse_args(words).__dict__


def launch_with(outcome: BaseException | None, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stands for torch's launcher, which ends as told; returns what it is called with."""
    called: list[Any] = []

    def elastic_launch(config: Any, program: str) -> Any:
        def run(*words: str) -> None:
            called.append((config.nproc_per_node, config.max_restarts, program, words))
            if outcome is not None:
                raise outcome

        return run

    monkeypatch.setattr("torch.distributed.launcher.api.elastic_launch", elastic_launch)
    monkeypatch.setenv("DR_PIPELINE_PROCESSES", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    return called


def test_as_many_processes_as_asked_for_run_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    called = launch_with(None, monkeypatch)
    assert run_in_processes("train", {"fold": 0, "take_best": False}) == 2
    assert called == [(2, 0, sys.executable, ("-m", "dr_pipeline", "train", "--fold", "0"))]
    monkeypatch.setenv("LOCAL_RANK", "1")  # one of those that were started starts none
    assert run_in_processes("train", {"fold": 0}) == 0
    assert len(called) == 1


def test_what_ends_a_process_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = ProcessFailure(local_rank=0, pid=1, exitcode=2, error_file="<none>")
    launch_with(ChildFailedError("dr-pipeline", {0: failure}), monkeypatch)
    with pytest.raises(SystemExit, match="2"):
        run_in_processes("train", {})
    launch_with(SignalException("interrupted", signal.SIGINT), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run_in_processes("train", {})


@pytest.mark.parametrize("wanted", ["0", "-1", "two", ""])
def test_a_number_of_processes_that_is_none_is_refused(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DR_PIPELINE_PROCESSES", wanted)
    with pytest.raises(EnvironmentProblem, match="DR_PIPELINE_PROCESSES is"):
        run_in_processes("train", {})


def test_alone_or_rank_0_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert is_first_process()
    monkeypatch.setenv("RANK", "1")
    assert not is_first_process()
