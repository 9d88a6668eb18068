"""The launcher of several processes."""

import argparse
import signal
import sys
from typing import Any

import pytest
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.stages import train as stage
from dr_pipeline.training.launcher import command_line, is_first_process, run_in_processes


def test_the_command_line_reproduces_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    stage.add_arguments(parser)
    words = [
        "--candidate", "lite0", "--fold", "0", "--params", "p.yaml", "--canvases", "c", "--splits", "s", "--readings",
        "r", "--out", "o", "--history", "h", "--layers", "l", "--report", "j", "--scratch", "x", "--take-best",
    ]  # fmt: skip
    arguments = parser.parse_args(words)
    arguments.run = stage.run
    assert parser.parse_args(command_line("train", vars(arguments))[1:]).__dict__ == parser.parse_args(words).__dict__


def launch_with(outcome: BaseException | None, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replaces torch's launcher by one with this outcome; returns the calls."""
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


def test_the_configured_number_of_processes_runs_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    called = launch_with(None, monkeypatch)
    assert run_in_processes("train", {"fold": 0, "take_best": False}) == 2
    assert called == [(2, 0, sys.executable, ("-m", "dr_pipeline", "train", "--fold", "0"))]
    monkeypatch.setenv("LOCAL_RANK", "1")  # one of those that were started starts none
    assert run_in_processes("train", {"fold": 0}) == 0
    assert len(called) == 1


def test_a_failed_or_interrupted_process_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = ProcessFailure(local_rank=0, pid=1, exitcode=2, error_file="<none>")
    launch_with(ChildFailedError("dr-pipeline", {0: failure}), monkeypatch)
    with pytest.raises(SystemExit, match="2"):
        run_in_processes("train", {})
    launch_with(SignalException("interrupted", signal.SIGINT), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run_in_processes("train", {})


@pytest.mark.parametrize("number", ["0", "-1", "two", ""])
def test_an_invalid_number_of_processes_is_refused(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DR_PIPELINE_PROCESSES", number)
    with pytest.raises(EnvironmentProblem, match="DR_PIPELINE_PROCESSES is"):
        run_in_processes("train", {})


def test_the_only_process_and_rank_0_are_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert is_first_process()
    monkeypatch.setenv("RANK", "1")
    assert not is_first_process()
