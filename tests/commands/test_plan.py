"""`dr-pipeline plan` from files to files."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr_pipeline.commands import plan
from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import write_json
from dr_pipeline.params.root import load_params
from dr_pipeline.planning.costs import measured_seconds
from dr_pipeline.planning.networks import NETWORKS
from dr_pipeline.planning.plan_inputs import read_latency
from dr_pipeline.recipes.compose import recipe_text
from tests.factories.planning_inputs import cost, write
from tests.factories.planning_study import write_study

pytestmark = pytest.mark.slow


@pytest.fixture
def study(tmp_path: Path) -> list[str]:
    paths = write_study(tmp_path)
    paths |= {"params": write(tmp_path / "params.yaml", recipe_text("synthetic")), "out": tmp_path / "plan"}
    return [word for name, path in paths.items() for word in (f"--{name}", str(path))]


def run(words: list[str]) -> Any:
    parser = argparse.ArgumentParser()
    plan.add_arguments(parser)
    return plan.run(parser.parse_args(words))


def test_a_plan_is_written_beside_the_parameters(study: list[str], tmp_path: Path) -> None:
    write_json(
        tmp_path / "selection.json",
        {"candidates": [{"candidate": "lite0", "model": "tf_efficientnet_lite0", "input_px": 64, "p95_ms": 9.0}]},
    )
    (tmp_path / "latency").mkdir()
    write_json(
        tmp_path / "latency" / "lite0.json", {"latency": {"lite0": {"p95_ms": 9.0, "steps_ms": {"network": 1.0}}}}
    )
    outcome = run([*study, "--budget-minutes", "2"])
    load_params(tmp_path / "plan" / "params.proposed.yaml")
    assert (tmp_path / "params.yaml").read_text() == recipe_text("synthetic")
    document = json.loads((tmp_path / "plan" / "plan.json").read_text())
    proposed = yaml.safe_load((tmp_path / "plan" / "params.proposed.yaml").read_text())
    assert proposed["candidates"] == document["candidates"]
    assert proposed["training"]["ema_decay"] == document["values"]["training.ema_decay"]
    assert document["measured_latency"]["other_ms"] == 8.0
    assert document["fingerprint"]["by_grade"] == [8, 8, 8, 8, 0]
    assert document["minutes_are"].startswith("an estimate")
    assert "Research use only" in outcome.headline
    assert "the rarest grade is in 4 groups" in outcome.headline
    assert f"training.ema_decay: {proposed['training']['ema_decay']} (now 0.98)" in outcome.headline
    assert "training.precision: auto\n" in outcome.headline
    for line in (tmp_path / "plan" / "params.proposed.yaml").read_text().splitlines():
        assert str(tmp_path) not in line


def test_an_ensembles_latency_is_that_of_all_its_runs(tmp_path: Path) -> None:
    line = {"candidate": "lite0", "model": NETWORKS[0].model, "input_px": 64, "p95_ms": 9.0}
    twice = line | {"ensemble": {"members": [0, 1], "views": ["identity", "mirror"]}}
    write_json(tmp_path / "lite0.json", {"latency": {"lite0": {"p95_ms": 9.0, "steps_ms": {"network": 1.0}}}})
    measured = []
    for candidate in (line, twice):
        write_json(tmp_path / "selection.json", {"candidates": [candidate]})
        measured.append(read_latency(tmp_path / "selection.json", tmp_path, cost))
    single, ensemble = measured
    assert single is not None
    assert ensemble is not None
    assert ensemble.ms_per_gmac == pytest.approx(single.ms_per_gmac / 4)
    assert read_latency(tmp_path / "none.json", tmp_path, cost) is None


def test_stages_that_have_not_run_are_named_and_nothing_is_written(study: list[str], tmp_path: Path) -> None:
    (tmp_path / "splits.csv").unlink()
    with pytest.raises(DataError, match="dvc repro split"):
        run(study)
    assert not (tmp_path / "plan").exists()


def test_wrong_parameters_are_refused_first(study: list[str], tmp_path: Path) -> None:
    write(tmp_path / "params.yaml", recipe_text("synthetic").replace("ema_decay: 0.98", "ema_decay: 7"))
    with pytest.raises(ParamsError, match="ema_decay"):
        run(study)


def test_the_present_parameters_are_never_overwritten(study: list[str], tmp_path: Path) -> None:
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "params.proposed.yaml").symlink_to(tmp_path / "params.yaml")
    with pytest.raises(ParamsError, match="overwrite"):
        run(study)


@pytest.mark.parametrize("words", [["--budget-minutes", "0"], ["--latency-ms", "nan"], ["--budget-minutes", "soon"]])
def test_a_limit_must_be_a_number_above_zero(study: list[str], words: list[str]) -> None:
    with pytest.raises(SystemExit):
        run([*study, *words])


def test_a_step_can_be_timed() -> None:
    assert 0 < measured_seconds("mobilenetv3_small_050", input_px=32, batch=2) < 10
