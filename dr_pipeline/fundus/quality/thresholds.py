"""From which quality score on a photograph is graded: a threshold per site, under a cap on who is turned away.

One limit for all sites turns away a third of one clinic's patients and nobody at another: scores shift with camera and
operator (fundus_image_toolbox, issue 20: 1,500 of 35,000 photographs were left at one fixed limit). And a gate
that is too strict turns away the sickest eyes first (in EyeQ 54.5 % of grade 4). So the wished-for limit falls at each
site until no more than a stated share of its photographs is rejected.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.schema import Status

LOW_SCORE = "low_score"
# Below this number of photographs a site's own share is noise: the threshold of all sites together is used.
MIN_SITE_PHOTOGRAPHS = 50
_KEYS = ("default", "fitted_on", "max_rejected_share", "min_score", "sites")


@dataclass(frozen=True)
class Gradability:
    """The thresholds, as they ship in the bundle.

    Attributes:
        min_score: The wish: scores under it are ungradable, where the cap allows.
        max_rejected_share: The cap, of all of a site's photographs.
        default: Threshold where the site is not told or was not fitted.
        sites: Threshold of each fitted site.
        fitted_on: Which photographs, with hashes.
    """

    min_score: float
    max_rejected_share: float
    default: float
    sites: Mapping[str, float] = field(default_factory=dict)
    fitted_on: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = (self.min_score, self.max_rejected_share, self.default, *self.sites.values())
        if not all(math.isfinite(number) and 0 <= number <= 1 for number in numbers):
            raise BundleError("the gradability thresholds are unusable: each must lie in 0 … 1", todo="run `dvc repro`")

    def threshold(self, site: str) -> float:
        """The threshold of a site."""
        return self.sites.get(site, self.default)

    def judge(self, status: Status, score: float, *, site: str) -> tuple[Status, str]:
        """The status with the threshold applied, and the reason it adds (empty where it changes nothing)."""
        if status is Status.SCORED and score < self.threshold(site):
            return Status.UNGRADABLE, LOW_SCORE
        return status, ""

    def require_site(self, site: str) -> None:
        """Checks a site that a user names; empty means not told.

        Raises:
            DataError: No threshold was fitted for it.
        """
        if site and site not in self.sites:
            known = ", ".join(sorted(self.sites)) or "none"
            raise DataError(
                f"no threshold was fitted for the site {site!r}; known: {known}",
                where="--site",
                todo=f"leave it out to use the threshold of all sites, {self.default:.3f}",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "min_score": self.min_score,
            "max_rejected_share": self.max_rejected_share,
            "default": self.default,
            "sites": dict(self.sites),
            "fitted_on": dict(self.fitted_on),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Gradability":
        """Reads what `to_dict` wrote.

        Raises:
            BundleError: A key is missing, unknown or of the wrong kind, or a number out of its range.
        """
        if not isinstance(value, Mapping) or sorted(value) != sorted(_KEYS):
            raise BundleError(f"the gradability thresholds need the keys {', '.join(_KEYS)}", todo="run `dvc repro`")
        try:
            return cls(
                min_score=float(value["min_score"]),
                max_rejected_share=float(value["max_rejected_share"]),
                default=float(value["default"]),
                sites={str(site): float(threshold) for site, threshold in value["sites"].items()},
                fitted_on={str(key): str(item) for key, item in value["fitted_on"].items()},
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"the gradability thresholds are unusable: {error}", todo="run `dvc repro`") from None


def fit_gradability(
    judged: Iterable[tuple[str, Status, float]],
    *,
    min_score: float,
    max_rejected_share: float,
    fitted_on: Mapping[str, str],
) -> Gradability:
    """Fits the thresholds; grades are not looked at.

    Args:
        judged: Site (empty: unknown), status and score of each photograph of the development part.
        min_score: The wish.
        max_rejected_share: The cap.
        fitted_on: Which photographs these are.
    """
    everyone: list[tuple[Status, float]] = []
    by_site: defaultdict[str, list[tuple[Status, float]]] = defaultdict(list)
    for site, status, score in judged:
        everyone.append((status, score))
        if site:
            by_site[site].append((status, score))
    return Gradability(
        min_score=min_score,
        max_rejected_share=max_rejected_share,
        default=capped_threshold(everyone, min_score, max_rejected_share),
        sites={
            site: capped_threshold(members, min_score, max_rejected_share)
            for site, members in sorted(by_site.items())
            if len(members) >= MIN_SITE_PHOTOGRAPHS
        },
        fitted_on=fitted_on,
    )


def capped_threshold(members: Iterable[tuple[Status, float]], min_score: float, max_rejected_share: float) -> float:
    """The highest threshold up to `min_score` at which no more than the capped share of `members` is rejected.

    Who has no picture, shows no fundus or is ungradable for a reason of its own is rejected at any threshold, and uses
    up the cap first.
    """
    known = list(members)
    scores = sorted(score for status, score in known if status is Status.SCORED)
    # 1e-9: 0.1 × 30 is a little under 3 in binary fractions.
    allowed = max(0, math.floor(max_rejected_share * len(known) + 1e-9) - (len(known) - len(scores)))
    return min_score if allowed >= len(scores) else min(min_score, scores[allowed])
