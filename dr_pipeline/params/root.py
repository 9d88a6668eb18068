"""The root model of params.yaml: every section, and what the sections require of each other."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.canvas_params import Preprocess
from dr_pipeline.params.curation import Audit, QualityParams, SplitParams
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.params.evaluation import Deployment, Evaluation, Latency, OperatingPoint
from dr_pipeline.params.external import External
from dr_pipeline.params.lesions import Lesions
from dr_pipeline.params.params_file import read_document
from dr_pipeline.params.phantom_params import Phantom
from dr_pipeline.params.pretraining import Pretraining
from dr_pipeline.params.promotion import Promotion
from dr_pipeline.params.section import Section, contradiction, validate
from dr_pipeline.params.subgroups import Subgroups
from dr_pipeline.params.training import Training

# Names become folders, DVC stage names and parts of metric names, where a dot or a dash would split them.
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _item_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise PydanticCustomError("item_name", "the name may have only a–z, 0–9 and _, and begins with a letter")
    return name


Name = Annotated[str, AfterValidator(_item_name)]


class Params(Section):
    """All of params.yaml. Stages load single sections instead, since DVC tracks sections."""

    dataset: Dataset
    phantom: dict[Name, Phantom]
    preprocess: Preprocess
    audit: Audit
    split: SplitParams
    quality: QualityParams
    pretraining: dict[Name, Pretraining]
    training: Training
    candidates: dict[Name, Candidate] = Field(min_length=1)
    folds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    evaluation: Evaluation
    subgroups: Subgroups
    external: dict[Name, External]
    lesions: dict[Name, Lesions]
    operating_point: OperatingPoint
    latency: Latency
    deployment: Deployment
    promotion: Promotion

    @model_validator(mode="after")
    def _choices_are_complete(self) -> Self:
        if self.dataset.adapter == "datalist" and not self.dataset.datalist:
            raise contradiction("dataset.datalist", "the adapter datalist needs the name of the JSON list")
        if self.split.test == "sites" and not self.split.test_sites:
            raise contradiction("split.test_sites", "`test: sites` needs at least one site")
        return self

    @model_validator(mode="after")
    def _folds_are_those_of_the_split(self) -> Self:
        if len(set(self.folds)) < len(self.folds):
            raise contradiction("folds", f"{list(self.folds)} names a fold twice")
        several = self.split.validation == "folds"
        known = range(self.split.num_folds if several else 1)
        if unknown := [fold for fold in self.folds if fold not in known]:
            allowed = f"0 … {known[-1]}" if several else "0: only `split.validation: folds` makes more folds"
            raise contradiction("folds", f"{', '.join(map(str, unknown))} is not in {allowed}")
        return self


def load_params(path: Path) -> Params:
    """Reads and checks the whole of params.yaml.

    Raises:
        ParamsError: A section is unknown, missing or wrong, or sections contradict each other; all faults are listed.
    """
    document = read_document(path)
    try:
        return validate(document, Params, where=str(path))
    except ParamsError as error:
        raise ParamsError(error.what, where=error.where, todo="compare with `dr-pipeline recipe NAME`") from None
