"""The section `preprocess`. It stands alone: a change here renders every canvas again."""

from typing import Literal

from pydantic import Field

from dr_pipeline.params.section import Section


class Preprocess(Section):
    """Size, enhancement and aspect of the canvases, and the number of their shards. Hashed into every artefact."""

    canvas_px: int = Field(ge=64, le=2048)
    num_shards: int = Field(ge=1, le=4096)
    enhancement: Literal["none", "ben_graham", "clahe", "green"]
    already_enhanced: Literal["person", "accept"] = "person"
    aspect: Literal["restore", "keep"] = "restore"
