"""The view reads the files that dvc.yaml makes, and the command rebuilds from the repository's root."""

import argparse
from pathlib import Path

import pytest
import yaml

from dr_pipeline.commands import track
from dr_pipeline.tracking.layout import CANDIDATE_STAGES, PIPELINE_STAGES, Item, Layout
from tests.factories import REPOSITORY
from tests.factories.repository import Repository

pytestmark = pytest.mark.slow

ITEM = Item("${item.candidate}", 0)


@pytest.fixture(scope="module")
def stages() -> dict[str, dict[str, object]]:
    return dict(yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"])


def outputs(stage: dict[str, object]) -> set[str]:
    listed = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]  # type: ignore[attr-defined]
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in listed}


def test_every_stage_of_the_view_is_a_stage_of_dvc(stages: dict[str, dict[str, object]]) -> None:
    assert {*PIPELINE_STAGES, *CANDIDATE_STAGES} <= set(stages)


def test_the_view_reads_what_the_stages_write(stages: dict[str, dict[str, object]]) -> None:
    layout = Layout.at(Path())
    for stage in ("train", "validate", "latency"):
        written = {path.replace("${item.fold}", "0") for path in outputs(stages[stage])}
        assert str(layout.figures(stage, ITEM)) in written
    assert str(layout.figures("export", ITEM).parent) in outputs(stages["export"])
    assert str(layout.history(ITEM)) in {path.replace("${item.fold}", "0") for path in outputs(stages["train"])}
    for stage in ("intake", "audit", "split", "select", "test", "report"):
        assert str(layout.figures(stage)) in outputs(stages[stage])
    assert str(layout.manifest) in outputs(stages["intake"])
    assert str(layout.bundle) in outputs(stages["package"])
    assert str(layout.test_predictions) in outputs(stages["test"])


def test_the_command_rebuilds_and_names_the_runs(repository: Repository) -> None:
    repository.train()
    parser = argparse.ArgumentParser()
    track.add_arguments(parser)
    outcome = track.run(parser.parse_args(["rebuild"]))
    assert outcome.headline.endswith("lite0-0, pipeline")
    assert "mlflow.db" in outcome.headline
    assert (repository.root / "mlruns" / "dr_pipeline").is_dir()
