"""How photographs are divided."""

from typing import Literal

from pydantic import Field

from dr_pipeline.params.section import Section


class SplitParams(Section):
    """Where test and validation parts come from, shares, folds and the salt of the hash."""

    salt: str = Field(min_length=1)
    test: Literal["share", "official", "sites"]
    test_share: float = Field(gt=0, lt=1)
    test_sites: tuple[str, ...]
    validation: Literal["folds", "share", "official"]
    num_folds: int = Field(ge=2, le=50)
    validation_share: float = Field(gt=0, lt=1)
    straddling: Literal["stop", "leave_out"]
