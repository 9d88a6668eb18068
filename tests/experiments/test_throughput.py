"""Speeds: of what is computed at once, in turns, one for all arms that cost the same, kept on the same machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.experiments import throughput
from dr_pipeline.experiments.definition import read_experiment
from dr_pipeline.experiments.settings import Settings
from tests.factories.experiments import made_experiment, settings_of

pytestmark = pytest.mark.slow

SMALL = {"candidate.model": "mobilenetv3_small_050", "candidate.input_px": 32, "candidate.batch_photographs": 12}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arms of each measurement; nothing is timed, and each network is faster than the one before."""
    calls: list[list[str]] = []

    def measure(arms: Sequence[Settings]) -> list[dict[str, Any]]:
        calls.append([arm.name for arm in arms])
        speeds = [10.0 * (10 * len(calls) + place) for place in range(len(arms))]
        return [{"training_images_per_s": speed, "inference_images_per_s": 4 * speed} for speed in speeds]

    monkeypatch.setattr(throughput, "measure", measure)
    return calls


@pytest.mark.parametrize(("parts", "at_once"), [(1, 12), (3, 4), (12, 2)])
def test_a_batch_in_parts_is_timed_by_one_part(parts: int, at_once: int) -> None:
    (speed,) = throughput.measure(
        settings_of(made_experiment({"a": {}}), SMALL | {"candidate.memory.accumulation": parts})
    )
    assert speed["photographs_at_once"] == at_once
    assert speed["training_images_per_s"] > 0
    assert speed["inference_images_per_s"] > 0


def test_networks_take_turns_and_the_first_turn_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = iter(range(12)), []

    class Bench:
        def __init__(self, settings: Settings) -> None:
            self.name = settings.name

        def turn(self) -> tuple[str, int]:
            order.append(self.name)
            return self.name, next(clock)

        def figures(self, seconds: Sequence[tuple[str, int]]) -> dict[str, Any]:
            return {"turns": list(seconds)}

    monkeypatch.setattr(throughput, "_Bench", Bench)
    monkeypatch.setattr(throughput, "keep_freed_memory", lambda **_: order.append("memory as in training"))
    a, b = throughput.measure(settings_of(made_experiment({"a": {}, "b": {"candidate.epochs": 2}})))
    # the first arm was once timed before a training had set the memory, and the others after: 14 against 23 images/s
    assert order == ["memory as in training", *["a", "b"] * 6]
    assert a["turns"] == [("a", number) for number in (2, 4, 6, 8, 10)]
    assert b["turns"] == [("b", number) for number in (3, 5, 7, 9, 11)]


def test_arms_that_cost_the_same_share_one_measurement(tmp_path: Path, measured: list[list[str]]) -> None:
    arms = settings_of(read_experiment("losses"))
    speeds = throughput.throughputs(arms, tmp_path, machine="m")
    assert [len(call) for call in measured] == [1]
    assert all(speed == speeds[0] for speed in speeds)
    arms = settings_of(read_experiment("knobs"))
    speeds = throughput.throughputs(arms, tmp_path, machine="m")
    assert [len(call) for call in measured] == [1]  # the same network, input and batch again
    by_name = {arm.name: speed for arm, speed in zip(arms, speeds, strict=True)}
    assert by_name["views"]["inference_images_per_s"] == by_name["as_is"]["inference_images_per_s"] / 5
    assert by_name["views"]["training_images_per_s"] == by_name["as_is"]["training_images_per_s"]


@pytest.mark.parametrize(
    "change",
    [
        {"candidate.model": "resnet18"},
        {"candidate.input_px": 64},
        {"candidate.batch_photographs": 4},
        {"candidate.memory.accumulation": 2},
        {"candidate.memory.gradient_checkpointing": True},
        {"candidate.network.head": "mlp"},
        {"training.precision": "bf16-mixed"},
    ],
)
def test_what_costs_time_is_measured_apart(tmp_path: Path, measured: list[list[str]], change: dict[str, Any]) -> None:
    arms = settings_of(made_experiment({"a": {}, "b": change, "c": {"candidate.learning_rate": 0.5}}))
    a, b, c = throughput.throughputs(arms, tmp_path, machine="m")
    assert a == c != b
    assert sorted(measured[0]) == ["a", "b"]


def test_speeds_are_kept_of_all_arms_for_one_machine(tmp_path: Path, measured: list[list[str]]) -> None:
    arms = settings_of(made_experiment({"a": {}, "b": {"candidate.model": "resnet18"}}))
    first = throughput.throughputs(arms, tmp_path, machine="one")
    assert throughput.throughputs(arms, tmp_path, machine="one") == first
    assert throughput.throughputs(arms[::-1], tmp_path, machine="one") == first[::-1]
    assert len(measured) == 1
    throughput.throughputs(arms, tmp_path, machine="other")
    throughput.throughputs(
        arms[:1], tmp_path, machine="one"
    )  # of another moment, it is measured with what it is beside
    assert len(measured) == 3


def test_a_full_memory_is_told_as_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> float:
        raise MemoryError

    monkeypatch.setattr(throughput, "_seconds", full)
    with pytest.raises(EnvironmentProblem, match="out of memory with 12 photographs of 32 px"):
        throughput.measure(settings_of(made_experiment({"a": {}}), SMALL))
