"""Where the photographs and grades come from."""

from typing import Literal

from pydantic import Field

from dr_pipeline.params.section import Section


class FolderColumns(Section):
    """How the columns of a clinic's own CSV are called; empty where there is none."""

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


class Dataset(Section):
    """The data set and its layout."""

    adapter: Literal[
        "synthetic",
        "idrid",
        "aptos2019",
        "eyepacs",
        "messidor2_abramoff",
        "messidor2_google",
        "ddr",
        "deepdrid",
        "folder",
        "datalist",
    ]
    root: str = Field(min_length=1)
    pseudonym_salt: str = Field(min_length=1)
    folder: FolderLayout
    datalist: str
