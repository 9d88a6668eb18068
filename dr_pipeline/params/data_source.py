"""The sections `dataset` and `phantom`: where the photographs and grades come from."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from dr_pipeline.adapter_registry import is_registered, registrations
from dr_pipeline.params.section import Section


class FolderColumns(Section):
    """Names of the columns of a clinic's own CSV; empty where it has no such column."""

    image: str = Field(min_length=1)
    grade: str = Field(min_length=1)
    patient: str
    eye: str
    visit: str
    site: str
    camera: str
    grader: str


class FolderLayout(Section):
    """A clinic's own folder.

    `labels` names its CSV; empty means class folders 0 … 4. `name_pattern` is a regular expression whose named groups
    (patient, eye, visit, field, site) are read from each photograph's path below the root; empty means none.
    """

    labels: str
    columns: FolderColumns
    name_pattern: str


def _registered(adapter: str) -> str:
    if not is_registered(adapter):
        names = ", ".join(repr(registration.name) for registration in registrations())
        raise PydanticCustomError("unknown_adapter", "input should be one of {names}", {"names": names})
    return adapter


class Dataset(Section):
    """The data set and its layout."""

    adapter: Annotated[str, AfterValidator(_registered)]
    root: str = Field(min_length=1)
    pseudonym_salt: str = Field(min_length=1)
    folder: FolderLayout
    datalist: str


class PlantedFaults(Section):
    """Number of faults of each kind that the generator plants and lists in its ground-truth file."""

    exact_duplicates: int = Field(ge=0)
    near_duplicates: int = Field(ge=0)
    cross_patient: int = Field(ge=0)
    contradictions: int = Field(ge=0)
    exif_turns: int = Field(ge=0)
    colour_order: int = Field(ge=0)
    not_fundus: int = Field(ge=0)


class Phantom(Section):
    """A cohort of synthetic patients."""

    seed: int = Field(ge=0)
    patients: int = Field(ge=1)
    grade_shares: tuple[float, float, float, float, float]
    megapixels: float = Field(gt=0.05, le=16)
    faults: PlantedFaults
