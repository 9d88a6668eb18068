"""The section `phantom`: the synthetic photographs of the default recipe."""

from pydantic import Field

from dr_pipeline.params.section import Section


class PlantedFaults(Section):
    """Number of faults of each kind that the generator plants and lists in its ground-truth file."""

    exact_duplicates: int = Field(ge=0)
    near_duplicates: int = Field(ge=0)
    cross_patient: int = Field(ge=0)
    contradictions: int = Field(ge=0)
    exif_turns: int = Field(ge=0)
    colour_order: int = Field(ge=0)
    not_fundus: int = Field(ge=0)


class Phantom(Section):
    """A cohort of synthetic patients."""

    seed: int = Field(ge=0)
    patients: int = Field(ge=1)
    grade_shares: tuple[float, float, float, float, float]
    megapixels: float = Field(gt=0.05, le=16)
    faults: PlantedFaults
