"""The quality score above which a photograph is graded: a threshold per site, under a cap on the rejection rate.

One threshold for all sites rejects a third of one clinic's patients and nobody at another, because scores shift with
camera and operator (fundus_image_toolbox, issue 20: one fixed limit left 1,500 of 35,000 photographs). A strict gate
also rejects the sickest eyes first (in EyeQ 54.5 % of grade 4). The desired threshold is therefore lowered at each site
until at most a stated fraction of its photographs is rejected.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.schema import Status

LOW_SCORE = "low_score"
# With fewer photographs a site's rejection rate is noise; it uses the threshold of all sites together.
MIN_SITE_PHOTOGRAPHS = 50
_KEYS = ("default", "fitted_on", "max_rejected_share", "min_score", "sites")


@dataclass(frozen=True)
class Gradability:
    """The thresholds, as they ship in the bundle.

    Attributes:
        min_score: The desired threshold, as far as the cap allows.
        max_rejected_share: The cap, as a fraction of a site's photographs.
        default: Threshold for an unknown site or one that was not fitted.
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

    def apply(self, status: Status, score: float, *, site: str) -> tuple[Status, str]:
        """Applies a site's threshold: the resulting status, and the reason if it changed (else "")."""
        if status is Status.SCORED and score < self.threshold(site):
            return Status.UNGRADABLE, LOW_SCORE
        return status, ""

    def require_site(self, site: str) -> None:
        """Validates a site that a user names; "" is the unknown site.

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
        """The fields as JSON values."""
        return {
            "min_score": self.min_score,
            "max_rejected_share": self.max_rejected_share,
            "default": self.default,
            "sites": dict(self.sites),
            "fitted_on": dict(self.fitted_on),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Gradability":
        """Reads the result of `to_dict`.

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
    assessed: Iterable[tuple[str, Status, float]],
    *,
    min_score: float,
    max_rejected_share: float,
    fitted_on: Mapping[str, str],
) -> Gradability:
    """Fits the thresholds, without using grades.

    Args:
        assessed: Site (empty: unknown), status and score of each photograph of the development part.
        min_score: The desired threshold.
        max_rejected_share: The cap, as a fraction of a site's photographs.
        fitted_on: Which photographs these are.
    """
    all_sites: list[tuple[Status, float]] = []
    by_site: defaultdict[str, list[tuple[Status, float]]] = defaultdict(list)
    for site, status, score in assessed:
        all_sites.append((status, score))
        if site:
            by_site[site].append((status, score))
    return Gradability(
        min_score=min_score,
        max_rejected_share=max_rejected_share,
        default=capped_threshold(all_sites, min_score, max_rejected_share),
        sites={
            site: capped_threshold(photographs, min_score, max_rejected_share)
            for site, photographs in sorted(by_site.items())
            if len(photographs) >= MIN_SITE_PHOTOGRAPHS
        },
        fitted_on=fitted_on,
    )


def capped_threshold(photographs: Iterable[tuple[Status, float]], min_score: float, max_rejected_share: float) -> float:
    """The highest threshold up to `min_score` that rejects at most the capped fraction of the photographs.

    Photographs that fail, show no fundus or are ungradable for another reason are rejected at any threshold, and count
    towards the cap first.
    """
    photographs = list(photographs)
    scores = sorted(score for status, score in photographs if status is Status.SCORED)
    # 1e-9: 0.1 × 30 is slightly less than 3 in binary fractions.
    allowed = max(0, math.floor(max_rejected_share * len(photographs) + 1e-9) - (len(photographs) - len(scores)))
    return min_score if allowed >= len(scores) else min(min_score, scores[allowed])
