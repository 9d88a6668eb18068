"""data/canvases/index.csv: what preprocessing found in each file."""

from dataclasses import dataclass

from dr_pipeline.schema import Status
from dr_pipeline.tables.table import Fixed2, Fixed4, Fixed6, Table

VERSION = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasRow:
    """One photograph. What could not be measured is empty or None."""

    image_id: str
    shard: str = ""  # tar file that holds <image_id>.png; empty where there is no canvas
    status: Status
    reason: str = ""
    format: str = ""  # jpeg, png, tiff, bmp, webp or dicom, by content
    pixel_hash: str = ""
    perceptual_hash: str = ""
    width: int | None = None
    height: int | None = None
    disc_x: Fixed2 | None = None  # centre and radius of the retinal disc, in pixels of the upright original
    disc_y: Fixed2 | None = None
    disc_radius: Fixed2 | None = None  # of an ellipse the longer half axis
    disc_fit: str = ""  # how the disc was found: circle, or the declared fallback
    disc_aspect: Fixed4 | None = None  # width over height of the field; 1 if it is round
    aspect_restored: bool | None = None  # whether an ellipse became a circle on the canvas
    annotation: bool | None = None  # whether there seems to be burned-in text beside the disc
    quality: Fixed4 | None = None
    quality_spread: Fixed4 | None = None  # jackknife standard error of the score over quarters of the disc
    quality_reasons: str = ""
    camera: str = ""  # maker and model, from EXIF or the DICOM header
    brightness: Fixed2 | None = None  # these five: see `dr_pipeline.fundus.quality.measures.Appearance`
    contrast: Fixed6 | None = None
    sharpness: Fixed4 | None = None
    red_over_green: Fixed4 | None = None
    blue_over_green: Fixed4 | None = None


CANVAS_INDEX = Table(CanvasRow, version=VERSION)
read_canvas_index = CANVAS_INDEX.read
write_canvas_index = CANVAS_INDEX.write
