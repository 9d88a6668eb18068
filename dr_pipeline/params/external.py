"""The section `external`: other data sets to validate on."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from dr_pipeline.params.curation import Audit
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.params.params_file import load_section
from dr_pipeline.params.section import Section


class External(Section):
    """Another data set on which the stage `external` validates the bundle.

    `params` is the set's own params.yaml, of which `dataset` and `audit` are read; `root` is its folder.
    """

    params: str = Field(min_length=1)
    root: str = Field(min_length=1)


@dataclass(frozen=True)
class ExternalParams:
    """What another data set's own params.yaml states: how it is read, and what its audit does."""

    dataset: Dataset
    audit: Audit


def load_external(path: Path) -> ExternalParams:
    """Reads another data set's own params.yaml.

    Raises:
        ParamsError: It is missing, or one of the two sections is wrong.
    """
    return ExternalParams(load_section(path, "dataset", Dataset), load_section(path, "audit", Audit))
