"""The stage `phantom`: reads its own entry of params.yaml and reports what it wrote."""

import argparse
from pathlib import Path

import pytest
import yaml

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.phantom_params import PlantedFaults
from dr_pipeline.stages import phantom
from tests.factories import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture
def params(tmp_path: Path) -> Path:
    document = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    none = dict.fromkeys(PlantedFaults.model_fields, 0)
    small = {"seed": 1, "patients": 2, "grade_shares": [0.36, 0.14, 0.22, 0.14, 0.14], "megapixels": 0.08}
    document["phantom"] = {
        "small": {**small, "faults": {**none, "exact_duplicates": 1, "exif_turns": 1, "colour_order": 1}}
    }
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    phantom.add_arguments(parser)
    return parser.parse_args(arguments)


def test_it_writes_what_it_reports(params: Path, tmp_path: Path) -> None:
    out = tmp_path / "data" / "small"
    outcome = phantom.run(parsed("--params", str(params), "--name", "small", "--out", str(out)))
    assert len(list((out / "photographs").iterdir())) == 5
    assert outcome.headline.startswith("5 photographs of 2 patients")
    assert all(path.exists() for path in outcome.wrote)


def test_an_unknown_name_is_refused(params: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="smal"):
        phantom.run(parsed("--params", str(params), "--name", "smal", "--out", str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
