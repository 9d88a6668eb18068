"""An experiment: a question, and arms that differ in a few values of params.yaml."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import Field

from dr_pipeline.errors import ParamsError
from dr_pipeline.experiments.catalogue import FOLDER
from dr_pipeline.experiments.nested_folds import Protocol
from dr_pipeline.params.params_file import present_key
from dr_pipeline.params.section import Section, validate


class Arm(Section):
    """One configuration.

    `changes` are values by dotted key: `candidate.…` of the chosen candidate, `training.…`, or
    `preprocess.enhancement`. An arm with `throughput_only` is timed and not trained, unless --train-all is given.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    changes: Mapping[str, Any]
    throughput_only: bool


class Experiment(Section):
    """Arms that share everything else; the others are compared with the first.

    `changes` hold for every arm; `--set` on the command line may change them, but not what an arm sets. `folds` is the
    number of drawn folds; with another `protocol` each site is one. With `camera_shift` above 0 the outer folds are
    predicted through cameras of that strength, too.
    """

    question: str = Field(min_length=1)
    protocol: Protocol = "folds"
    folds: int = Field(ge=2, le=20, default=2)
    camera_shift: float = Field(default=0.0, ge=0, le=1)
    changes: Mapping[str, Any]
    arms: tuple[Arm, ...] = Field(min_length=1)


def read_experiment(name: str) -> Experiment:
    """Reads a shipped experiment."""
    path = FOLDER / f"{name}.yaml"
    return parse_experiment(path.read_text(encoding="utf-8"), where=path.name)


def parse_experiment(text: str, *, where: str) -> Experiment:
    """Reads an experiment.

    Raises:
        ParamsError: A key is unknown or missing, or two arms have one name.
    """
    experiment = validate(yaml.safe_load(text), Experiment, where=where)
    names = [arm.name for arm in experiment.arms]
    if len(set(names)) < len(names):
        raise ParamsError(f"two arms have one name: {', '.join(names)}", where=where, todo="rename one")
    return experiment


def select_arms(experiment: Experiment, names: Sequence[str]) -> Experiment:
    """The experiment with these arms only, in its own order.

    Raises:
        ParamsError: It has no such arm.
    """
    known = [arm.name for arm in experiment.arms]
    if unknown := [name for name in names if name not in known]:
        raise ParamsError(f"no such arm: {', '.join(unknown)}", where="--arms", todo=f"choose of {', '.join(known)}")
    return experiment.model_copy(update={"arms": tuple(arm for arm in experiment.arms if arm.name in names)})


def dotted_values(pairs: list[str]) -> dict[str, Any]:
    """Parses `key=value` arguments; the value is YAML, as in params.yaml.

    Raises:
        ParamsError: An argument has no `=`, a key occurs twice, or a value is not YAML.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        key = present_key(name)
        if not sign or not key or key in values:
            raise ParamsError(f"not one key=value each: {pair!r}", where="--set", todo="--set candidate.epochs=4")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ParamsError(f"{pair!r} is not YAML: {error}", where="--set") from None
    return values
