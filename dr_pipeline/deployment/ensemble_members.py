"""Reads the trained networks that a candidate's deployed graph consists of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError, GateError, ParamsError
from dr_pipeline.files import read_json
from dr_pipeline.models.grader import Grader, grader_from_spec
from dr_pipeline.models.weights.trained_weights import load_strict
from dr_pipeline.params.candidate import EnsembleParams

# Facts of model.json that all members of one ensemble share; only the fold differs.
_FACTS = (
    "candidate",
    "model",
    "family",
    "input_px",
    "network",
    "loss",
    "mean",
    "std",
    "weights",
    "pixel_path",
    "splits_sha256",
    "canvas_index_sha256",
)


@dataclass(frozen=True)
class Member:
    """One trained network, in eval mode."""

    fold: int
    seed: int
    grader: Grader


@dataclass(frozen=True)
class Members:
    """A candidate's networks.

    Attributes:
        facts: The shared facts of model.json.
        all: The members of the deployed graph; those of the deployed fold come first.
        of_fold: Those of the deployed fold, which were not trained on its validation photographs.
    """

    facts: dict[str, Any]
    all: tuple[Member, ...]
    of_fold: tuple[Member, ...]

    @property
    def validated_by(self) -> str:
        """A text that names the networks which grade the validation photographs."""
        if len(self.all) == len(self.of_fold):
            return "the model as it ships"
        return (
            f"its fold-{self.of_fold[0].fold} members only, since the others were trained on validation photographs; "
            "the ensemble itself is measured on test"
        )


def read_members(models: Path, ensemble: EnsembleParams, *, fold: int, folds: Sequence[int]) -> Members:
    """Reads the networks of the deployed fold, or of all folds with `ensemble.folds`.

    Args:
        models: What `train` wrote for the candidate: a folder for each fold.
        ensemble: Which of them belong together.
        fold: The deployed one.
        folds: All that params.yaml names; a folder of another fold is of a former params.yaml, and not read.

    Raises:
        ParamsError: The ensemble asks for folds that are not trained.
        DataError: A file is missing or damaged.
        GateError: The folds were trained differently, a folder holds another fold's networks, or networks of other
            seeds than the ensemble's.
    """
    first = read_json(models / str(fold) / "model.json")
    try:
        facts = {key: first[key] for key in _FACTS}
    except KeyError as error:
        raise _incomplete(error, models / str(fold)) from None
    if ensemble.folds and len(folds) < 2:
        raise ParamsError(
            "folds: true, but one fold is trained",
            where=f"params.yaml, candidates.{facts['candidate']}.ensemble",
            todo="name more under `folds:`",
        )
    of_fold = _of_fold(models, fold, ensemble.seeds, facts)
    others = [other for other in folds if ensemble.folds and other != fold]
    beside = [member for other in others for member in _of_fold(models, other, ensemble.seeds, facts)]
    return Members(facts, (*of_fold, *beside), of_fold)


def _of_fold(models: Path, fold: int, num_seeds: int, expected: dict[str, Any]) -> tuple[Member, ...]:
    folder = models / str(fold)
    spec = read_json(folder / "model.json")
    # another fold's networks were trained on this fold's validation photographs
    differing = [key for key, value in (expected | {"fold": fold}).items() if spec.get(key) != value]
    if differing:
        raise GateError(f"trained with another {differing[0]}", where=str(folder), todo="dvc repro")
    members = []
    try:
        for seed, name in zip(spec["seeds"], spec["members"], strict=True):
            grader = grader_from_spec(spec)
            load_strict(grader, folder / name)
            members.append(Member(fold, seed, grader.eval()))
    except (KeyError, ValueError) as error:
        raise _incomplete(error, folder) from None
    # a student of all seeds stands alone
    if len(spec.get("teacher_seeds", members)) != num_seeds:
        raise GateError(
            f"{len(spec.get('teacher_seeds', members))} network(s) were trained, ensemble.seeds is {num_seeds}",
            where=str(folder),
            todo="dvc repro",
        )
    return tuple(members)


def _incomplete(error: Exception, folder: Path) -> DataError:
    return DataError(f"model.json lacks {error}", where=str(folder), todo="run `dvc repro`")
