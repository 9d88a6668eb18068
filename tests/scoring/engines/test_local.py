"""Worker processes: results in order; one that hangs or dies costs one item its result."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from dr_pipeline.errors import BundleError, EnvironmentProblem
from dr_pipeline.scoring.engines import local
from dr_pipeline.scoring.engines.in_process import InProcessEngine
from dr_pipeline.scoring.engines.local import LocalEngine

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Command:
    """Does what the item names."""

    fault: str = ""
    modules: ClassVar[tuple[str, ...]] = ()

    def setup(self) -> Callable[[str], str]:
        if self.fault == "raise":
            raise BundleError("another bundle", where="there", todo="put it back")
        if self.fault == "die":
            os._exit(3)
        return obey

    def failed(self, item: str, reason: str) -> str:
        return f"{item}: {reason}"


def obey(item: str) -> str:
    match item:
        case "hang":
            time.sleep(60)
        case "exit":
            os._exit(7)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "pid":
            return str(os.getpid())
        case _ if item.startswith("once "):  # dies, but not when it is done again
            path = Path(item.removeprefix("once "))
            if not path.exists():
                path.touch()
                os.kill(os.getpid(), signal.SIGKILL)
    return item.upper()


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine[str, str]]:
    with LocalEngine(Command(), workers=2, time_limit_s=1.0) as engine:
        yield engine


def results(engine: LocalEngine[str, str], *items: str) -> list[str]:
    pairs = list(engine.results(items))
    assert [item for item, _ in pairs] == list(items)
    return [result for _, result in pairs]


def test_results_are_in_order_and_items_are_taken_a_bounded_number_ahead(engine: LocalEngine[str, str]) -> None:
    taken = []

    def items() -> Iterator[str]:
        for number in range(100):
            taken.append(number)
            yield str(number)

    for done, (item, result) in enumerate(engine.results(items()), start=1):
        assert item == result == str(done - 1)
        assert len(taken) - done <= 16
    assert len(taken) == 100


def test_a_worker_that_hangs_or_dies_costs_one_item_its_result(engine: LocalEngine[str, str]) -> None:
    items = ("a", "hang", "b", "exit", "c", "killed", "d")
    assert results(engine, *items) == [
        "A",
        "hang: not done within 1 s, the limit for one file",
        "B",
        "exit: the worker process died on it 2 times (exit code 7)",
        "C",
        "killed: the worker process died on it 2 times (SIGKILL)",
        "D",
    ]
    assert results(engine, "e", "f") == ["E", "F"]


def test_an_item_whose_worker_was_killed_for_another_reason_is_done_again(engine, tmp_path) -> None:
    item = f"once {tmp_path / 'seen'}"
    assert results(engine, "a", item, "b") == ["A", item.upper(), "B"]


def test_workers_that_are_killed_without_an_item_are_replaced(engine: LocalEngine[str, str]) -> None:
    for pid in set(results(engine, *["pid"] * 20)):
        os.kill(int(pid), signal.SIGKILL)
    time.sleep(0.5)
    assert results(engine, *"abcdef") == list("ABCDEF")


def test_a_fault_of_the_setup_ends_the_run_with_its_own_message() -> None:
    with LocalEngine(Command("raise"), workers=1, time_limit_s=5) as engine, pytest.raises(BundleError) as caught:
        results(engine, "a")
    assert (caught.value.what, caught.value.todo) == ("another bundle", "put it back")


def test_workers_that_cannot_start_are_an_error_and_no_loop(monkeypatch) -> None:
    monkeypatch.setattr(local, "_MAX_RESTARTS", 1)
    with LocalEngine(Command("die"), workers=1, time_limit_s=5) as engine, pytest.raises(EnvironmentProblem):
        results(engine, "a")


def test_no_thread_and_no_process_is_left() -> None:
    with LocalEngine(Command(), workers=1, time_limit_s=5) as engine:
        (pid,) = results(engine, "pid")
        threads = threading.active_count()
    assert threading.active_count() < threads
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_the_engine_without_processes_gives_the_same_results() -> None:
    with InProcessEngine(Command()) as engine:
        assert list(engine.results(["a", "b"])) == [("a", "A"), ("b", "B")]
