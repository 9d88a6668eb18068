"""data/lesions/<name>/canvases/index.csv: the photographs with masks of lesions, as they lie in the store."""

from collections.abc import Mapping
from dataclasses import dataclass

from dr_pipeline.tables.table import Fixed2, Fixed4, Table

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionRow:
    """One photograph with its masks."""

    image_id: str
    group: str  # photographs of one patient, of one eye and copies: never divided between folds
    fold: int  # the validation part of fold k's training
    site: str = ""
    labelled: str  # names of the kinds that were annotated, separated by blanks; another one may be there unmarked
    pixels: str = ""  # of the canvas by kind, as `hard_exudates=812`, separated by blanks; annotated kinds only
    pixel_hash: str  # of the decoded photograph
    um_per_px: Fixed4  # of the canvas
    width: int  # of the upright original
    height: int
    window_left: Fixed2  # what the canvas shows, in pixels of the upright original
    window_top: Fixed2
    window_width: Fixed2
    window_height: Fixed2

    def __post_init__(self) -> None:
        """Raises ValueError where the annotated kinds and those with a number of pixels differ."""
        if set(self.labelled_kinds) != set(self.pixels_of):
            raise ValueError(f"pixels {self.pixels!r} are not of the annotated kinds {self.labelled!r}")

    @property
    def labelled_kinds(self) -> tuple[str, ...]:
        """Names of the annotated kinds."""
        return tuple(self.labelled.split())

    @property
    def pixels_of(self) -> Mapping[str, int]:
        """Pixels of the canvas by kind.

        Raises:
            ValueError: The cell is malformed.
        """
        named = (entry.partition("=") for entry in self.pixels.split())
        return {name: int(number) for name, _, number in named}


LESION_INDEX = Table(LesionRow, version=VERSION, todo="run `dvc repro`, which writes the canvases again")
read_lesion_index = LESION_INDEX.read
write_lesion_index = LESION_INDEX.write
