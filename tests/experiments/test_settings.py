"""Experiments as shipped, and an arm's values."""

import copy
from functools import cache
from typing import Any

import pytest
import yaml

from dr_pipeline.errors import ParamsError
from dr_pipeline.experiments.catalogue import experiment_names
from dr_pipeline.experiments.definition import dotted_values, parse_experiment, read_experiment, select_arms
from dr_pipeline.experiments.settings import resolve_settings
from dr_pipeline.fundus.enhancement import ENHANCEMENTS
from dr_pipeline.params.params_file import read_document
from dr_pipeline.recipes import NAMES as RECIPES
from dr_pipeline.recipes.compose import recipe_text
from tests.factories.experiments import REPOSITORY, made_experiment, settings_of

pytestmark = pytest.mark.slow

PRETRAINED = {"candidate.weights": "file:weights.safetensors"}


def test_every_shipped_file_has_a_name_at_the_door() -> None:
    shipped = {path.stem for path in (REPOSITORY / "dr_pipeline" / "experiments" / "catalogue").glob("*.yaml")}
    assert set(experiment_names()) == shipped


@cache  # to read YAML takes longer than the test
def recipe_document(name: str) -> Any:
    return yaml.safe_load(recipe_text(name))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", experiment_names())
def test_every_experiment_fits_every_recipe(name: str, recipe: str) -> None:
    document = copy.deepcopy(recipe_document(recipe))
    candidate = next(iter(document["candidates"]))
    document["candidates"][candidate]["weights"] = PRETRAINED["candidate.weights"]
    experiment = read_experiment(name)
    arms = resolve_settings(document, candidate, experiment, {}, train_all=False)
    assert [arm.name for arm in arms] == [arm.name for arm in experiment.arms]
    assert not arms[0].throughput_only
    assert len({arm.configuration for arm in arms}) == len(arms)


def test_the_preprocessing_arms_are_those_of_the_pixel_path() -> None:
    arms = settings_of(read_experiment("preprocessing"))
    assert sorted(arm.enhancement for arm in arms) == sorted(ENHANCEMENTS)


def test_an_arm_goes_before_the_command_line_before_the_experiment_before_params() -> None:
    experiment = made_experiment({"a": {}, "b": {"training.objective.loss": "corn"}})
    one, other = settings_of(experiment, {"candidate.epochs": 2, "training.ema_decay": 0.5})
    assert (one.candidate.epochs, other.candidate.epochs) == (2, 2)
    assert settings_of(experiment)[0].candidate.epochs == 5
    assert one.training.ema_decay == 0.5
    assert (one.training.objective.loss, other.training.objective.loss) == ("soft_ordinal", "corn")


def test_only_timed_arms_are_trained_when_everything_is_asked_for() -> None:
    experiment = made_experiment({"a": {}, "b": {"candidate.model": "resnet50"}}, timed=("b",))
    assert [arm.throughput_only for arm in settings_of(experiment)] == [False, True]
    assert [arm.throughput_only for arm in settings_of(experiment, all_=True)] == [False, False]


@pytest.mark.parametrize(
    ("arms", "asked", "words"),
    [
        ({"a": {}, "b": {}}, {}, "are the same"),
        ({"a": {}, "b": {"candidate.epochs": 3}}, {"candidate.epochs": 2}, "sets candidate.epochs itself"),
        ({"a": {}}, {"candidate.epoch": 2}, "did you mean 'epochs'"),
        ({"a": {}}, {"candidate": 2}, "candidate"),
        ({"a": {}}, {"evaluation.confidence": 0.9}, "there is no 'evaluation.confidence'"),
        ({"a": {}}, {"preprocess.canvas_px": 256}, "cannot change preprocess.canvas_px"),
        ({"a": {}}, {"candidate.epochs": "many"}, "epochs"),
        (
            {"a": {}},
            {"candidate.ensemble.combine": "weighted", "candidate.ensemble.seeds": 2},
            "averages seeds and views",
        ),
        ({"a": {}}, {"candidate.ensemble.folds": True}, "averages seeds and views"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    arms: dict[str, dict[str, object]], asked: dict[str, object], words: str
) -> None:
    with pytest.raises(ParamsError, match=words):
        settings_of(made_experiment(arms), asked)


def test_an_unknown_candidate_is_named_with_the_closest() -> None:
    document = read_document(REPOSITORY / "params.yaml")
    with pytest.raises(ParamsError, match="did you mean 'lite0'"):
        resolve_settings(document, "lit0", made_experiment({"a": {}}), {}, train_all=False)


def test_words_of_the_command_line_are_yaml() -> None:
    assert dotted_values(["candidate.epochs=4", "a.b=[x, y]", "c="]) == {
        "candidate.epochs": 4,
        "a.b": ["x", "y"],
        "c": None,
    }
    for words in (["candidate.epochs"], ["=4"], ["a=1", "a=2"], ["a=[1"]):
        with pytest.raises(ParamsError):
            dotted_values(words)


def test_some_arms_keep_the_experiments_order_and_all_else() -> None:
    experiment = read_experiment("preprocessing")
    some = select_arms(experiment, ["ben_graham", "plain"])
    assert [arm.name for arm in some.arms] == ["plain", "ben_graham"]
    assert (some.folds, some.changes) == (experiment.folds, experiment.changes)
    with pytest.raises(ParamsError, match="no such arm: graham") as caught:
        select_arms(experiment, ["plain", "graham"])
    assert "ben_graham" in caught.value.todo


def test_two_arms_of_one_name_are_refused() -> None:
    arm = {"name": "a", "changes": {}, "throughput_only": False}
    text = yaml.safe_dump({"question": "Which?", "folds": 2, "changes": {}, "arms": [arm, arm]})
    with pytest.raises(ParamsError, match="two arms have one name"):
        parse_experiment(text, where="x.yaml")
