"""The settings of an arm: params.yaml with the changes of experiment and command line, validated as params.yaml is."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from dr_pipeline.errors import ParamsError
from dr_pipeline.experiments.definition import Experiment
from dr_pipeline.files import sha256_json
from dr_pipeline.params.candidate import FITTED, Candidate
from dr_pipeline.params.canvas_params import Preprocess
from dr_pipeline.params.section import closest, validate
from dr_pipeline.params.training import Training


@dataclass(frozen=True)
class Settings:
    """All values of params.yaml that matter to one arm's training.

    Attributes:
        name: The arm's name.
        changes: The values it sets beside those that all arms share.
        throughput_only: Whether it is only timed.
        candidate: Network and schedule.
        training: Objective, averaging, augmentation.
        enhancement: Enhancement of the canvas.
    """

    name: str
    changes: Mapping[str, Any]
    throughput_only: bool
    candidate: Candidate
    training: Training
    enhancement: str

    def to_dict(self) -> dict[str, Any]:
        """All values as plain types; the name is not among them."""
        return {
            "candidate": self.candidate.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
            "preprocess_arm": self.enhancement,
        }

    @property
    def training_values(self) -> dict[str, Any]:
        """What decides the training of one network: all but how many there are and how they are combined."""
        values = self.to_dict()
        del values["candidate"]["ensemble"]
        if self.training.distillation.teacher == "seeds":  # which is trained as without a student
            values["training"]["distillation"]["teacher"] = "none"
        return values

    @property
    def configuration(self) -> str:
        """Hash of the values: arms of different experiments with equal values share it."""
        return sha256_json(self.to_dict())


def resolve_settings(
    document: Mapping[str, Any],
    candidate: str,
    experiment: Experiment,
    overrides: Mapping[str, Any],
    *,
    train_all: bool,
) -> list[Settings]:
    """The settings of every arm, in the experiment's order.

    Args:
        document: params.yaml, plain.
        candidate: A key of `candidates`.
        experiment: The changes of its arms.
        overrides: Changes for every arm from the command line; they override the experiment's shared ones.
        train_all: Train also the arms that are only timed.

    Raises:
        ParamsError: A key is unknown, a value is out of range, the command line sets what an arm sets, or two arms
            have equal values.
    """
    if candidate not in document["candidates"]:
        known = [str(key) for key in document["candidates"]]
        raise ParamsError(
            f"candidates has no {candidate!r}{closest(candidate, known)}",
            where="--candidate",
            todo=f"use one of {known}",
        )
    settings = []
    for arm in experiment.arms:
        if fixed := sorted(set(overrides) & set(arm.changes)):
            raise ParamsError(
                f"the arm {arm.name!r} sets {', '.join(fixed)} itself",
                where="--set",
                todo="leave it out: it is what the experiment compares",
            )
        values = {**experiment.changes, **overrides, **arm.changes}
        settings.append(
            _settings_of(document, candidate, arm.name, values, arm.changes, arm.throughput_only, train_all)
        )
    _require_different(settings)
    return settings


def _settings_of(
    document: Mapping[str, Any],
    candidate: str,
    name: str,
    values: Mapping[str, Any],
    changes: Mapping[str, Any],
    throughput_only: bool,
    train_all: bool,
) -> Settings:
    tree = deepcopy(
        {
            "candidate": document["candidates"][candidate],
            "training": document["training"],
            "preprocess": document["preprocess"],
        }
    )
    for key, value in values.items():
        _put(tree, key, value)
    where = f"the arm {name!r}"
    network = validate(tree["candidate"], Candidate, where=f"{where}, candidate")
    _require_plain(network, where)
    return Settings(
        name=name,
        changes=dict(changes),
        throughput_only=throughput_only and not train_all,
        candidate=network,
        training=validate(tree["training"], Training, where=f"{where}, training"),
        enhancement=validate(tree["preprocess"], Preprocess, where=f"{where}, preprocess").enhancement,
    )


def _put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets an existing key; every key of params.yaml exists."""
    *parents, last = dotted.split(".")
    level: Any = tree
    for key in parents:
        level = _inner(level, key, dotted)
    _inner(level, last, dotted)
    if parents == ["preprocess"] and last != "enhancement":
        raise ParamsError(
            f"an experiment cannot change {dotted}",
            where="a change of an experiment",
            todo="change it in params.yaml and render the canvases again with `dvc repro preprocess`",
        )
    level[last] = value


def _inner(level: Any, key: str, dotted: str) -> Any:
    if not isinstance(level, dict) or key not in level:
        known = [str(name) for name in level] if isinstance(level, dict) else []
        raise ParamsError(
            f"there is no {dotted!r}{closest(key, known)}",
            where="a change of an experiment",
            todo="use candidate.…, training.… or preprocess.enhancement, as in params.yaml",
        )
    return level[key]


def _require_plain(candidate: Candidate, where: str) -> None:
    """An experiment averages seeds, their weights, and views; fitted weights and folds belong to the pipeline."""
    if candidate.ensemble.folds or candidate.ensemble.combine in FITTED:
        raise ParamsError(
            "an experiment averages seeds and views, and nothing else",
            where=f"{where}, candidate.ensemble",
            todo="set folds: false and combine: mean or soup; an outer fold has no other folds' networks",
        )


def _require_different(settings: Sequence[Settings]) -> None:
    seen: dict[str, str] = {}
    for arm in settings:
        if (other := seen.setdefault(arm.configuration, arm.name)) != arm.name:
            raise ParamsError(
                f"the arms {other!r} and {arm.name!r} are the same with these values",
                where="params.yaml",
                todo="set the value that the arm compares there, such as the candidate's weights for `initialisation`",
            )
