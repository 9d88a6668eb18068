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
    """A clinic's own folder: `labels` names its CSV; empty means class folders 0 … 4."""

    labels: str
    columns: FolderColumns


class Dataset(Section):
    """The data set and its layout."""

    adapter: Literal["synthetic", "idrid", "aptos2019", "folder"]
    root: str = Field(min_length=1)
    folder: FolderLayout
