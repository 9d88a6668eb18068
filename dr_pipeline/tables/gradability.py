"""data/gradability.csv: the quality status of each photograph."""

from dataclasses import dataclass

from dr_pipeline.schema import Status
from dr_pipeline.tables.table import Table

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GradabilityRow:
    """One photograph: the status of the pixel path, or ungradable where the score is below the site's threshold."""

    image_id: str
    status: Status
    reason: str = ""


GRADABILITY = Table(GradabilityRow, version=VERSION)
read_gradability = GRADABILITY.read
write_gradability = GRADABILITY.write
