"""One candidate network and its schedule."""

from pydantic import Field

from dr_pipeline.params.section import Section


class Candidate(Section):
    """A timm network, its first weights and its schedule."""

    model: str = Field(min_length=1)
    weights: str = Field(pattern=r"^(none|timm|file:.+)$")
    input_px: int = Field(ge=32, le=2048)
    epochs: int = Field(ge=1)
    batch_photographs: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    drop_rate: float = Field(ge=0, lt=1)
    drop_path_rate: float = Field(ge=0, lt=1)
