"""The section `dataset`: where the photographs and grades come from."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from dr_pipeline.adapter_registry import is_registered, registrations
from dr_pipeline.params.section import Section, contradiction

# A name is the prefix of image ids: no "__", which ends it, and nothing that a file system or WebDataset splits.
_SOURCE_NAME = r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*"
_MAX_SOURCE_NAME = 40


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


def _registered_or_none(adapter: str) -> str:
    return _registered(adapter) if adapter else adapter


class Source(Section):
    """One of several data sets that are read together.

    `name` is the prefix of its image and patient ids; empty means the site. Two sources of one site need two names.
    `folder` gives what differs from `dataset.folder`. A source with `role: unlabelled` may leave the adapter out: all
    photographs below its root are listed then.
    """

    site: str = Field(min_length=1)
    name: str = ""
    adapter: Annotated[str, AfterValidator(_registered_or_none)] = ""
    root: str = Field(min_length=1)
    role: Literal["all", "train", "validation", "test", "unlabelled"] = "all"
    folder: FolderLayout
    datalist: str = ""
    ignore: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_readable(self) -> Self:
        if not re.fullmatch(_SOURCE_NAME, self.prefix) or len(self.prefix) > _MAX_SOURCE_NAME:
            raise contradiction(
                "name",
                f"{self.prefix!r} cannot begin an image id; give the source a name of letters, digits and single - or "
                f"_, {_MAX_SOURCE_NAME} characters at most",
            )
        if not self.adapter and not self.is_unlabelled:
            raise contradiction("adapter", "is missing; only a source with `role: unlabelled` needs none")
        if self.adapter == "datalist" and not self.datalist:
            raise contradiction("datalist", "the adapter datalist needs the name of the JSON list")
        return self

    @property
    def is_unlabelled(self) -> bool:
        """Whether its grades, where it has any, are not read."""
        return self.role == "unlabelled"

    @property
    def prefix(self) -> str:
        """What its image and patient ids begin with."""
        return self.name or self.site


class Dataset(Section):
    """The data set and its layout.

    With `sources`, these are read instead of `adapter`; `root` is then the folder that the manifest's paths start at,
    where they lie below it.
    """

    adapter: Annotated[str, AfterValidator(_registered)]
    root: str = Field(min_length=1)
    pseudonym_salt: str = Field(min_length=1)
    unknown_patient_ids: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    follow_links: bool = False
    folder: FolderLayout
    datalist: str
    sources: tuple[Source, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _sources_inherit_the_folder(cls, values: Any) -> Any:
        """A source's `folder` has only what differs from that of the data set."""
        if not isinstance(values, Mapping) or not isinstance(values.get("sources"), tuple):
            return values
        sources = tuple(
            {**source, "folder": _merged(values.get("folder"), source.get("folder"))}
            if isinstance(source, Mapping)
            else source
            for source in values["sources"]
        )
        return {**values, "sources": sources}

    @model_validator(mode="after")
    def _sources_differ(self) -> Self:
        if not self.sources:
            return self
        names = Counter(source.prefix.casefold() for source in self.sources)
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise contradiction(
                "sources",
                f"two sources are called {', '.join(twice)}: their ids would be equal; give each a `name` of its own",
            )
        if all(source.is_unlabelled for source in self.sources):
            raise contradiction("sources", "all are unlabelled; one needs grades: nothing can be trained without them")
        return self

    def of_source(self, source: Source) -> "Dataset":
        """The section as if this source were the only data set."""
        return self.model_copy(
            update={
                "adapter": source.adapter,
                "root": source.root,
                "folder": source.folder,
                "datalist": source.datalist,
                "ignore": (*self.ignore, *source.ignore),
                "sources": (),
            }
        )


def _merged(base: Any, changes: Any) -> Any:
    """Nested mappings with the changes put in; a map of words (`values`) is replaced as a whole."""
    if changes is None:
        return base
    if not isinstance(base, Mapping) or not isinstance(changes, Mapping):
        return changes
    merged = {key: _merged(base.get(key), value) if key == "columns" else value for key, value in changes.items()}
    return {**base, **merged}
