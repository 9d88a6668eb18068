"""How latency is measured."""

from pydantic import Field

from dr_pipeline.params.section import Section


class Latency(Section):
    """Photographs and threads of the measurement."""

    warmup_photographs: int = Field(ge=1)
    num_photographs: int = Field(ge=10)
    threads: int = Field(ge=1)
