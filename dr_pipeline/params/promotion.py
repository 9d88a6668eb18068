"""The section `promotion`: what a new champion of the registry may lose against the present one."""

from typing import Annotated

from pydantic import Field

from dr_pipeline.params.section import Section


class Promotion(Section):
    """How much worse each endpoint of `dr-pipeline compare` may be, in its own unit; null: it is shown only.

    An endpoint that is not named has its default (docs/how-to/compare-and-validate.md).
    """

    margins: dict[str, Annotated[float, Field(ge=0)] | None]
