"""The section `lesions`: data sets with masks of lesions, and networks that find them; `{}` leaves the stages out."""

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.params.section import Section, contradiction

# Those of `dr_pipeline.lesions.kinds`, which lies above this room.
KindName = Literal[
    "microaneurysms",
    "hemorrhages",
    "hard_exudates",
    "cotton_wool_spots",
    "irma",
    "venous_beading",
    "new_vessels",
    "preretinal_hemorrhages",
    "fibrous_tissue",
    "optic_disc",
    "fovea",
]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class MaskFolders(Section):
    """The folders of the adapter `masks`, below the root.

    `photographs` is the folder of the photographs. `folders` has a folder for each kind, in which all that is not black
    is that kind. `pictures` is a folder of coloured pictures and `colours` the colour of each kind in them, such as
    "#ff0000". `without_file` says what it means that a photograph with other masks has no file in a folder: `none` of
    the kind is there, or it was `not_annotated`. `name_pattern` is a regular expression with the group `patient`,
    searched in a photograph's path below the root, as `dataset.folder.name_pattern` is: photographs of one patient stay
    together. Its other groups are not read.
    """

    photographs: str = ""
    folders: dict[KindName, str] = Field(default_factory=dict)
    pictures: str = ""
    colours: dict[KindName, Colour] = Field(default_factory=dict)
    without_file: Literal["none", "not_annotated"] = "not_annotated"
    name_pattern: str = ""

    @model_validator(mode="after")
    def _each_kind_has_one_place(self) -> Self:
        if bool(self.pictures) != bool(self.colours):
            raise contradiction("colours", "`pictures` and `colours` need one another")
        if twice := sorted(set(self.folders) & set(self.colours)):
            raise contradiction("colours", f"{', '.join(twice)} has a folder as well")
        colours = Counter(colour.lower() for colour in self.colours.values())
        if "#000000" in colours or max(colours.values(), default=1) > 1:
            raise contradiction("colours", "two kinds have one colour, or one has the background's, black")
        return self


class LesionData(Section):
    """A data set with masks, and how it becomes canvases.

    `kinds` are those to learn. `canvas_px` is the canvas's side: a lesion of 5 px in a photograph of 4,288 px needs
    1,536. `field_degrees` is the angle of the camera's field, from which sizes in µm follow. The photographs are
    divided into `folds` by patient and eye, drawn with `seed`. Up to `healthy` photographs of grade 0 are drawn with
    the same seed from the grading set's training part, one of a patient. They show no lesion of any kind: a network
    that has never seen a healthy eye takes its reflexes for exudates. `grey_threshold`: from this value on, 1 … 255, a
    pixel of a mask is shown; null: masks with grey values are refused. `follow_links`: whether links that lead out of
    the root are followed. `masks` is for the adapter `masks` alone.
    """

    adapter: Literal["idrid_segmentation", "masks", "synthetic"]
    root: str = Field(min_length=1)
    kinds: tuple[KindName, ...] = Field(min_length=1)
    canvas_px: int = Field(ge=64, le=4096)
    field_degrees: float = Field(gt=5, le=200)
    folds: int = Field(ge=2, le=20)
    seed: int = Field(ge=0)
    healthy: int = Field(default=0, ge=0)
    grey_threshold: Annotated[int, Field(ge=1, le=255)] | None = None
    follow_links: bool = False
    masks: MaskFolders = MaskFolders()

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if len(set(self.kinds)) < len(self.kinds):
            raise contradiction("kinds", "names a kind twice")
        if self.adapter == "masks" and not (self.masks.photographs and (self.masks.folders or self.masks.pictures)):
            raise contradiction(
                "masks", "the adapter `masks` needs `photographs`, and `folders` or `pictures` with their `colours`"
            )
        if self.adapter != "masks" and self.masks != MaskFolders():
            raise contradiction("masks", f"the adapter {self.adapter!r} knows its own folders")
        return self


class Lesions(Section):
    """A data set with masks, and the network that learns from it."""

    data: LesionData
    training: LesionTraining

    @model_validator(mode="after")
    def _has_tiles_of_its_canvases(self) -> Self:
        if self.training.tile_px > self.data.canvas_px:
            raise contradiction("training.tile_px", f"a tile is larger than the canvas, {self.data.canvas_px} px")
        return self
