"""Worker processes: results in order; one that hangs or dies costs one item its result."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from dr_pipeline.engines import local
from dr_pipeline.engines.in_process import InProcessEngine
from dr_pipeline.engines.local import LocalEngine
from dr_pipeline.errors import BundleError, EnvironmentProblem
from tests.factories.engines import FAULTS, RESULTS_OF_FAULTS, Command, results

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine[str, str]]:
    with LocalEngine(Command(), workers=2, time_limit_s=1.0) as engine:
        yield engine


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
    assert results(engine, *FAULTS) == RESULTS_OF_FAULTS
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
