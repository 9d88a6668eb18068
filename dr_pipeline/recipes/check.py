"""Checks a whole params.yaml: every section through its model, and what the sections say of each other."""

import re
from pathlib import Path
from typing import Any

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.audit import Audit
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.dataset import Dataset
from dr_pipeline.params.deployment import Deployment
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.params.latency import Latency
from dr_pipeline.params.load import SECTIONS, read_document, validate
from dr_pipeline.params.operating_point import OperatingPoint
from dr_pipeline.params.phantom import Phantom
from dr_pipeline.params.preprocess import Preprocess
from dr_pipeline.params.quality import QualityParams
from dr_pipeline.params.section import Section
from dr_pipeline.params.split import SplitParams
from dr_pipeline.params.training import Training

_SINGLE: dict[str, type[Section]] = {
    "dataset": Dataset,
    "preprocess": Preprocess,
    "audit": Audit,
    "split": SplitParams,
    "quality": QualityParams,
    "training": Training,
    "evaluation": Evaluation,
    "operating_point": OperatingPoint,
    "latency": Latency,
    "deployment": Deployment,
}
_NAMED: dict[str, type[Section]] = {"phantom": Phantom, "candidates": Candidate}
# Every section that has a model, by its key.
MODELS: dict[str, type[Section]] = {**_SINGLE, **_NAMED}
# Names become folders, DVC stage names and parts of metric names, where a dot or a dash would split them.
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_document(path: Path) -> None:
    """Checks the parameters as a whole, as no single stage does.

    Raises:
        ParamsError: A section is unknown, missing or wrong, or sections contradict each other; all faults are listed.
    """
    document = read_document(path)
    faults: list[str] = []
    for section in SECTIONS:
        if section in _SINGLE:
            _collect(faults, document[section], _SINGLE[section], section)
        elif section in _NAMED:
            faults += _named(document[section], section)
    faults += _folds(document["folds"], document["split"])
    faults += _choices(document["dataset"], document["split"])
    if not document["candidates"]:
        faults.append("candidates: at least one is needed")
    if faults:
        raise ParamsError("\n".join(faults), where=str(path), todo="compare with `dr-pipeline recipe NAME`")


def _collect(faults: list[str], value: Any, model: type[Section], name: str) -> None:
    try:
        validate(value, model, where=name)
    except ParamsError as error:
        faults += [f"{name}: {line}" for line in error.what.splitlines()]


def _named(value: Any, section: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{section}: names and their values are wanted, found {value!r}"]
    faults: list[str] = []
    for name, inner in value.items():
        if not _NAME.fullmatch(str(name)):
            faults.append(f"{section}: the name {name!r} has other characters than a–z, 0–9 and _")
        _collect(faults, inner, _NAMED[section], f"{section}.{name}")
    return faults


def _folds(folds: Any, split: Any) -> list[str]:
    if not isinstance(folds, list) or not folds or not all(type(fold) is int for fold in folds):
        return [f"folds: a list of whole numbers is wanted, found {folds!r}"]
    faults = [f"folds: {folds!r} names a fold twice"] if len(set(folds)) < len(folds) else []
    if not isinstance(split, dict):
        return faults  # named among the faults of `split`
    drawn_folds = split.get("validation", "folds") == "folds"
    num_folds = split.get("num_folds") if drawn_folds else 1
    if not isinstance(num_folds, int):
        return faults  # as well
    known = f"0 … {num_folds - 1}" if drawn_folds else "0: without `split.validation: folds` there is no other"
    return faults + [f"folds: {fold} is none of {known}" for fold in folds if not 0 <= fold < num_folds]


def _choices(dataset: Any, split: Any) -> list[str]:
    """Choices that ask for another key; a section that is no mapping is named among its own faults."""
    faults = []
    if isinstance(dataset, dict) and dataset.get("adapter") == "datalist" and not dataset.get("datalist"):
        faults.append("dataset.datalist: the adapter datalist needs the name of the JSON list")
    if isinstance(split, dict) and split.get("test") == "sites" and not split.get("test_sites"):
        faults.append("split.test_sites: test: sites needs at least one")
    return faults
