"""Sections are read strictly, one by one; errors name the key; keys of version 0.1 are still read."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr_pipeline.errors import ParamsError
from dr_pipeline.experiments.definition import dotted_values
from dr_pipeline.logs import logger
from dr_pipeline.models.weights.packages import KNOWN_PACKAGES
from dr_pipeline.params import params_file
from dr_pipeline.params.canvas_params import Preprocess
from dr_pipeline.params.curation import SplitParams
from dr_pipeline.params.lesions import LesionData
from dr_pipeline.params.params_file import SECTIONS, load_folds, load_names, load_section, present_key, read_document
from dr_pipeline.params.root import Params, load_params
from dr_pipeline.params.section import Section, section_of, validate
from dr_pipeline.params.training import Training
from dr_pipeline.recipes.compose import recipe_text
from tests.factories import REPOSITORY

VERSION_0_1 = Path(__file__).with_name("params_0_1_0.yaml")


@pytest.fixture
def document() -> dict[str, Any]:
    return read_document(REPOSITORY / "params.yaml")


@pytest.fixture(autouse=True)
def no_notice_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params_file, "_notified", set())
    monkeypatch.setattr(logger, "propagate", True)


def write(path: Path, document: dict[str, Any]) -> Path:
    file = path / "params.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def test_the_root_model_has_one_field_for_each_section() -> None:
    assert tuple(Params.model_fields) == SECTIONS


def test_a_stage_is_not_stopped_by_an_error_in_another_section(tmp_path: Path, document: dict[str, Any]) -> None:
    document["split"]["num_folds"] = 0
    path = write(tmp_path, document)
    assert load_section(path, "training", Training).seed == document["training"]["seed"]
    assert load_names(path, "candidates") == tuple(document["candidates"])
    with pytest.raises(ParamsError, match="num_folds: input should be greater than or equal to 2, found 0"):
        load_section(path, "split", SplitParams)
    with pytest.raises(ParamsError, match=r"split\.num_folds"):
        load_params(path)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("training", "ema_decay", "1e-4", r"ema_decay: .*write 0\.000100 or 1\.0e-04"),
        ("training", "ema_decai", 1, r"unknown key 'ema_decai' \(did you mean 'ema_decay'\?\)"),
        ("training", "precision", ["auto"], r"precision: input should be 'auto'.*found \['auto'\]"),
        ("preprocess", "enhancement", "retinex", "enhancement: input should be 'none'.*found 'retinex'"),
    ],
)
def test_an_error_names_the_key_the_value_and_what_to_write(
    tmp_path: Path, document: dict[str, Any], section: str, key: str, value: Any, message: str
) -> None:
    document[section][key] = value
    model: type[Section] | None = section_of(Params, section)
    assert model is not None
    with pytest.raises(ParamsError, match=message):
        load_section(write(tmp_path, document), section, model)


@pytest.mark.parametrize("folds", [[], [-1], [True], "0", [0, 0.5]])
def test_folds_are_whole_numbers(tmp_path: Path, document: dict[str, Any], folds: Any) -> None:
    document["folds"] = folds
    path = write(tmp_path, document)
    with pytest.raises(ParamsError, match="folds"):
        load_folds(path)
    with pytest.raises(ParamsError, match="folds"):
        load_params(path)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ([], "kinds: at least 1 needed, found none"),
        (["haemorrhages"], "kinds.0: input should be .*, found 'haemorrhages'"),  # and not that the list is empty
    ],
)
def test_a_list_with_a_wrong_item_is_not_called_empty_too(kinds: list[str], message: str) -> None:
    values = {"adapter": "synthetic", "root": "x", "canvas_px": 128, "field_degrees": 45.0, "folds": 2, "seed": 0}
    with pytest.raises(ParamsError) as caught:
        validate({**values, "kinds": kinds}, LesionData, where="params.yaml, lesions.own.data")
    assert re.fullmatch(message, caught.value.what)
    assert "dr-pipeline recipe" in caught.value.todo


def test_a_file_of_version_0_1_gives_the_same_values(caplog: pytest.LogCaptureFixture) -> None:
    old = yaml.safe_load(VERSION_0_1.read_text(encoding="utf-8"))
    params = load_params(VERSION_0_1)
    assert params.preprocess.enhancement == old["preprocess"]["arm"]
    assert params.split.on_group_conflict == old["split"]["straddling"]
    assert load_section(VERSION_0_1, "preprocess", Preprocess) == params.preprocess
    assert load_section(VERSION_0_1, "split", SplitParams) == params.split
    assert caplog.messages == [
        "preprocess.arm is now called preprocess.enhancement; please rename it",
        "split.straddling is now called split.on_group_conflict; please rename it",
    ]


def test_the_recipe_has_the_values_that_it_had_in_version_0_1_but_for_named_ones(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    changes = {
        KNOWN_PACKAGES["tf_efficientnet_lite0"].reference: "timm",
        "loss: soft_ordinal": "loss: cross_entropy",
        "    camera: 1.0 ": "    camera: 0.0 ",
        "learning_rate: 0.0009 ": "learning_rate: 0.0003 ",
        "num_photographs: 200 ": "num_photographs: 60 ",
        "latency_budget_ms: 55.0 ": "latency_budget_ms: 150.0 ",
        "names: [onnx, onnx-int8] ": "names: [onnx] ",
    }
    text = recipe_text("idrid")
    for now, then in changes.items():
        assert now in text
        text = text.replace(now, then)
    path.write_text(text, encoding="utf-8")
    assert load_params(path) == load_params(VERSION_0_1)


def test_a_file_from_before_a_key_was_added_is_read(tmp_path: Path, document: dict[str, Any]) -> None:
    document["promotion"] = {"margins": {"qwk": 0.02}}  # the recipe's own are others
    whole = load_params(write(tmp_path, document))
    del document["dataset"]["ignore"], document["dataset"]["folder"]["values"]
    del document["dataset"]["folder"]["columns"]["part"], document["pretraining"], document["promotion"]
    assert load_params(write(tmp_path, document)) == whole


def test_keys_that_yaml_reads_as_numbers_are_text(tmp_path: Path, document: dict[str, Any]) -> None:
    document["dataset"]["folder"]["values"] = {
        "grade": {},
        "eye": {1: "right", "L": "left"},
        "part": {},
        "ungradable": [5],
    }
    path = write(tmp_path, document)
    assert read_document(path)["dataset"]["folder"]["values"]["eye"] == {"1": "right", "L": "left"}
    assert load_params(path).dataset.folder.values.eye == {"1": "right", "L": "left"}


def test_a_key_under_both_names_is_an_error(tmp_path: Path, document: dict[str, Any]) -> None:
    document["preprocess"]["arm"] = "clahe"
    with pytest.raises(ParamsError, match=r"its former name 'arm'(.|\n)*keep preprocess\.enhancement only"):
        load_section(write(tmp_path, document), "preprocess", Preprocess)


def test_experiments_accept_the_former_key_too(caplog: pytest.LogCaptureFixture) -> None:
    assert dotted_values(["preprocess.arm=clahe", "training.seed=3"]) == {
        "preprocess.enhancement": "clahe",
        "training.seed": 3,
    }
    assert "preprocess.enhancement" in caplog.text
    assert present_key("training.arm") == "training.arm"
