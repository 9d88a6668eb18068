"""The section `dataset`: where the photographs and grades come from."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from dr_pipeline.adapter_registry import is_registered, registrations
from dr_pipeline.params.section import Section, contradiction


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
    part: str = ""
    ungradable: str = ""


class FolderValues(Section):
    """The words of a clinic's own table or class folders; case, blanks, hyphens and underscores make no difference.

    Where `grade` has any word, a grade that is not among them is refused. Words of `eye` and `part` are read beside
    left, right, L, R, OS, OD and beside train, val, validation, test. `ungradable` lists the words of the column
    `ungradable`, or where there is none, of the grade's column or folder.
    """

    grade: dict[str, Annotated[int, Field(ge=0, le=4)]] = Field(default_factory=dict)
    eye: dict[str, Literal["left", "right", "unknown"]] = Field(default_factory=dict)
    part: dict[str, Literal["train", "validation", "test"]] = Field(default_factory=dict)
    ungradable: tuple[str | int, ...] = ()


class FolderProvenance(Section):
    """Where a clinic's own photographs come from, for the reports and the model card."""

    name: str = Field(min_length=1, default="clinic folder")
    licence: str = "the owner's"
    citation: str = ""


class FolderLayout(Section):
    """A clinic's own folder.

    `labels` names its CSV; empty means class folders 0 … 4, also below train, val and test. `name_pattern` is a regular
    expression whose named groups (patient, eye, visit, field, site, part) are read from each photograph's path below
    the root; empty means none.
    """

    labels: str
    columns: FolderColumns
    values: FolderValues = FolderValues()
    name_pattern: str
    provenance: FolderProvenance = FolderProvenance()

    @model_validator(mode="after")
    def _ungradable_has_words(self) -> "FolderLayout":
        if self.columns.ungradable and not self.values.ungradable:
            raise contradiction(
                "values.ungradable", f"list the words of the column {self.columns.ungradable!r} that mean ungradable"
            )
        return self


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
    ignore: tuple[str, ...] = ()
    follow_links: bool = False
    folder: FolderLayout
    datalist: str
