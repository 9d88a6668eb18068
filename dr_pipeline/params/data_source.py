"""The section `dataset`: where the photographs and grades come from."""

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
    unknown_patient_ids: tuple[str, ...] = ()
    folder: FolderLayout
    datalist: str
