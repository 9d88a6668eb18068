"""What a programme does with a result: who is referred, and within how many months a patient is seen."""

from dataclasses import dataclass
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.schema import NUM_GRADES, Grade
from dr_pipeline.tables.result_patients import Decision, Urgency

URGENCY_OF_GRADE = (Urgency.ROUTINE, Urgency.ROUTINE, Urgency.SOON, Urgency.URGENT, Urgency.IMMEDIATE)

# ICO Guidelines for Diabetic Eye Care, 2017, high-resource settings: no DR 1–2 years, mild 6–12 months, moderate 3–6
# months, severe below 3 months, proliferative below 1 month (Wong TY et al., Ophthalmology 2018;125:1608-1622).
MONTHS_OF_GRADE = (12, 12, 6, 3, 1)


@dataclass(frozen=True)
class Policy:
    """A programme's rules.

    Attributes:
        on_ungradable: What to do about an ungradable eye of a patient without a referable one: photograph again
            (`rescreen`), or `refer` as if it were moderate, since nobody has seen its retina.
        months: Within how many months a patient is seen, by the grade of the worse eye.

    Raises:
        DataError: A value is out of range.
    """

    on_ungradable: Decision = Decision.RESCREEN
    months: tuple[int, ...] = MONTHS_OF_GRADE

    def __post_init__(self) -> None:
        if self.on_ungradable not in (Decision.RESCREEN, Decision.REFER):
            raise DataError(f"an ungradable eye is rescreened or referred, not {self.on_ungradable}")
        if len(self.months) != NUM_GRADES or min(self.months) < 1 or list(self.months) != sorted(self.months)[::-1]:
            raise DataError(
                f"the months are {NUM_GRADES} whole numbers from 1, none above the one before it; found "
                + " ".join(map(str, self.months)),
                todo="name the months for grades 0 to 4, such as 12 12 6 3 1",
            )

    def time_to(self, grade: int) -> tuple[Urgency, int]:
        """Urgency and months for a grade."""
        return URGENCY_OF_GRADE[grade], self.months[grade]

    def time_to_referral(self, grade: int | None) -> tuple[Urgency, int]:
        """Urgency and months of a referral: those of moderate retinopathy at least, also without a grade."""
        return self.time_to(max(grade or 0, Grade.MODERATE))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {"on_ungradable": self.on_ungradable.value, "months": list(self.months)}


DEFAULT_POLICY = Policy()
