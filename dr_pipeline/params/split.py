"""How photographs are divided."""

from pydantic import Field

from dr_pipeline.params.section import Section


class SplitParams(Section):
    """Shares, folds and the salt of the hash."""

    salt: str = Field(min_length=1)
    test_share: float = Field(gt=0, lt=1)
    num_folds: int = Field(ge=2, le=50)
