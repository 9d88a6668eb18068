"""The section `subgroups`: what figures are broken down by."""

from pydantic import Field

from dr_pipeline.params.section import Section


class Subgroups(Section):
    """What photographs are grouped by, one attribute at a time and in pairs, for the figures of the test.

    `by` names columns of the manifest other than the grade, `quality` (thirds of the score) and `resolution`. Subgroups
    of fewer than `min_photographs` are counted and have no figures.
    """

    by: tuple[str, ...]
    min_photographs: int = Field(ge=3)
