"""From which quality score on a photograph is graded."""

from pydantic import Field

from dr_pipeline.params.section import Section


class QualityParams(Section):
    """The wish and its cap."""

    min_score: float = Field(ge=0, le=1)
    max_rejected_share: float = Field(ge=0, le=1)
