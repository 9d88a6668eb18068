"""The pixel path's parameters: hashed into every artefact."""

from typing import Literal

from pydantic import Field

from dr_pipeline.params.section import Section


class Preprocess(Section):
    """Canvas, enhancement arm and shards."""

    canvas_px: int = Field(ge=64, le=2048)
    num_shards: int = Field(ge=1, le=4096)
    arm: Literal["none", "ben_graham", "clahe", "green"]
