"""Speeds: of what is computed at once, and kept for the same values on the same machine."""

from pathlib import Path

import pytest

from dr_pipeline.experiments import throughput
from tests.experiments.made import made_experiment, settings_of

SMALL = {"candidate.model": "mobilenetv3_small_050", "candidate.input_px": 32, "candidate.batch_photographs": 12}


@pytest.mark.parametrize(("parts", "at_once"), [(1, 12), (3, 4), (12, 2)])
def test_a_batch_in_parts_is_timed_by_one_part(parts: int, at_once: int) -> None:
    (settings,) = settings_of(made_experiment({"a": {}}), SMALL | {"candidate.memory.accumulation": parts})
    speed = throughput.measure(settings)
    assert speed["photographs_at_once"] == at_once
    assert speed["training_images_per_s"] > 0


def test_a_speed_is_measured_once_for_each_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    monkeypatch.setattr(throughput, "measure", lambda arm: measured.append(arm.name) or {"training_images_per_s": 1.0})
    (settings,) = settings_of(made_experiment({"a": {}}))
    for machine in ("one", "one", "other"):
        throughput.throughput(settings, tmp_path, machine=machine)
    assert measured == ["a", "a"]
