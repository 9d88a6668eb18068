"""Compares a batch with the reference: every measure, overall, by camera and by site, with one verdict each."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.reference import (
    RATES,
    Distribution,
    Group,
    Observations,
    Rate,
    Reference,
    count_patients,
)
from dr_pipeline.clinic.drift.batch import Batch
from dr_pipeline.clinic.drift.statistics import (
    detectable_shift,
    holm,
    ks_distance,
    ks_p_value,
    rate_p_value,
    stability,
)

# Patients of a camera or site that a batch must have for a comparison of its own.
MIN_GROUP_PATIENTS = 10
SHOWN_QUANTILES = (0.1, 0.5, 0.9)


class Verdict(StrEnum):
    """From harmless to alarming."""

    STABLE = "stable"
    WATCH = "watch"
    DRIFT = "drift"


@dataclass(frozen=True)
class Limits:
    """What makes a verdict: significance after Holm's correction over all comparisons, and a size that matters.

    Attributes:
        alpha: Chance that a batch without drift gets any warning, at most.
        watch: Population stability index beyond chance; 0.1 and 0.25 are the customary limits (Siddiqi, Credit risk
            scorecards, 2006).
        drift: Likewise.
        tolerance: A shift up to this fraction of the reference's median is no difference to the tests.
        rate_watch: Difference of a rate.
        rate_drift: Likewise.
    """

    alpha: float = 0.05
    watch: float = 0.1
    drift: float = 0.25
    tolerance: float = 0.01
    rate_watch: float = 0.05
    rate_drift: float = 0.1

    def verdict(self, comparison: "Comparison") -> Verdict:
        """The verdict on one comparison, by its adjusted p-value and its size."""
        is_rate = comparison.measure in RATES
        watch, drift = (self.rate_watch, self.rate_drift) if is_rate else (self.watch, self.drift)
        if comparison.p_value >= self.alpha or comparison.effect < watch:
            return Verdict.STABLE
        return Verdict.DRIFT if comparison.effect >= drift else Verdict.WATCH


@dataclass(frozen=True)
class Comparison:
    """One measure of one group of a batch against the reference.

    Attributes:
        kind: "all", "camera" or "site".
        group: The camera's or site's name; "" of all.
        measure: One of MEASURES or RATES.
        photographs: Of the batch.
        patients: Of the batch.
        reference_photographs: Of the reference.
        reference_patients: Of the reference, as the tests count them.
        reference: Quantiles SHOWN_QUANTILES, or the rate.
        batch: Likewise.
        index: Population stability index; None of a rate.
        effect: The index beyond chance; of a rate the absolute difference.
        p_value: Adjusted.
        detectable: Shift in standard deviations that half of such batches detect; None of a rate; inf: none.
        verdict: By `Limits`.
    """

    kind: str
    group: str
    measure: str
    photographs: int
    patients: float
    reference_photographs: int
    reference_patients: float
    reference: tuple[float, ...]
    batch: tuple[float, ...]
    index: float | None
    effect: float
    p_value: float
    detectable: float | None = None
    verdict: Verdict = Verdict.STABLE


@dataclass(frozen=True)
class Cameras:
    """The cameras of a batch.

    Attributes:
        allowed: Where the list of allowed cameras comes from; "" if there is none.
        counts: Photographs of each camera that a file names.
        unknown: Of these, the cameras that are not on the list.
        nameless: Photographs whose file names no camera.
    """

    allowed: str
    counts: Mapping[str, int]
    unknown: Mapping[str, int]
    nameless: int


@dataclass(frozen=True)
class Drift:
    """The result for one batch.

    Attributes:
        batch: The batch.
        comparisons: Overall, by camera, by site.
        mix: What the photographs of the whole batch were compared with.
        cameras: Which cameras took them.
        left_out: Cameras and sites without a comparison of their own → why.
        limits: What the verdicts rest on.
    """

    batch: Batch
    comparisons: tuple[Comparison, ...]
    mix: str
    cameras: Cameras
    left_out: Mapping[str, str]
    limits: Limits

    @property
    def verdict(self) -> Verdict:
        """The worst verdict; at least watch where a camera is unknown."""
        verdicts = [comparison.verdict for comparison in self.comparisons]
        if self.cameras.unknown:
            verdicts.append(Verdict.WATCH)
        return max(verdicts, key=list(Verdict).index, default=Verdict.STABLE)

    @property
    def warnings(self) -> tuple[Comparison, ...]:
        """The comparisons that are not stable, the worst first."""
        found = (comparison for comparison in self.comparisons if comparison.verdict is not Verdict.STABLE)
        return tuple(sorted(found, key=lambda each: (each.verdict is not Verdict.DRIFT, -each.effect)))


def compare(
    batch: Batch, reference: Reference, *, cameras: Collection[str] | None = None, limits: Limits | None = None
) -> Drift:
    """Compares a batch with the reference.

    Args:
        batch: The batch.
        reference: The bundle's, or a baseline's.
        cameras: The cameras that are allowed; None: those of the reference, if it has any.
        limits: What makes a verdict.
    """
    limits, observed = limits or Limits(), batch.observed
    ratio = reference.photographs_per_patient
    expected, mix = expected_group(reference, observed)
    raw = list(_compare_group("all", "", observed, expected, ratio, limits.tolerance))
    left_out: dict[str, str] = {}
    for kind, names, known in (
        ("camera", observed.cameras, reference.cameras),
        ("site", observed.sites, reference.sites),
    ):
        for name in sorted(set(names) - {""}):
            part = observed.where(names == name)
            if name not in known:
                left_out[f"{kind} {name}"] = f"{len(part)} photographs; the reference has too few of it"
            elif count_patients(part.patients, ratio) < MIN_GROUP_PATIENTS:
                left_out[f"{kind} {name}"] = f"{len(part)} photographs of fewer than {MIN_GROUP_PATIENTS} patients"
            elif len(part) < len(observed):  # else it is the comparison of all
                raw += _compare_group(kind, name, part, known[name], ratio, limits.tolerance)
    adjusted = holm([comparison.p_value for comparison in raw])
    comparisons = (
        _completed(replace(comparison, p_value=p_value), limits, tests=len(raw))
        for comparison, p_value in zip(raw, adjusted, strict=True)
    )
    return Drift(batch, tuple(comparisons), mix, cameras_of(observed, reference, cameras), left_out, limits)


def expected_group(reference: Reference, observed: Observations) -> tuple[Group, str]:
    """The reference for a whole batch, and in words what it is.

    A clinic has one camera where the reference has several: a batch is compared with the reference's photographs in
    the batch's own mix of cameras, or else of sites, where the reference knows every one of them.
    """
    for kind, names, known in (
        ("cameras", observed.cameras, reference.cameras),
        ("sites", observed.sites, reference.sites),
    ):
        found, counts = np.unique(names.astype(str), return_counts=True)
        if set(found) <= set(known):
            shares = {str(name): count / len(names) for name, count in zip(found, counts, strict=True)}
            return _mixture(shares, known, reference.overall), f"the reference in the batch's own mix of {kind}"
    return reference.overall, "all photographs of the reference"


def _mixture(shares: Mapping[str, float], groups: Mapping[str, Group], overall: Group) -> Group:
    """The groups in these shares; a measure that one of them lacks is that of all."""
    measures, rates = dict(overall.measures), dict(overall.rates)
    for name in measures:
        parts = [(share, groups[key].measures[name]) for key, share in shares.items() if name in groups[key].measures]
        if len(parts) == len(shares):
            measures[name] = Distribution.mixture(parts)
    for name in rates:
        mixed = [(share, groups[key].rates[name]) for key, share in shares.items() if name in groups[key].rates]
        if len(mixed) == len(shares):
            rates[name] = Rate.mixture(mixed)
    return replace(overall, measures=measures, rates=rates)


def _compare_group(
    kind: str, name: str, observed: Observations, expected: Group, photographs_per_patient: float, tolerance: float
) -> Iterator[Comparison]:
    """The comparisons of one group, p-values not yet adjusted; a measure that either side lacks has none."""
    for measure, column in observed.values.items():
        known = ~np.isnan(column)
        values = column[known]
        if not len(values):
            continue
        patients = count_patients(observed.patients[known], photographs_per_patient)
        counts = {"kind": kind, "group": name, "measure": measure, "photographs": len(values), "patients": patients}
        if measure in expected.rates:
            yield _compare_rate(counts, values, patients, expected.rates[measure])
        elif measure in expected.measures:
            yield _compare_measure(counts, values, patients, expected.measures[measure], tolerance)


def _compare_rate(counts: dict[str, object], values: NDArray[np.float64], patients: float, rate: Rate) -> Comparison:
    fraction = float(values.mean())
    return Comparison(
        **counts,  # type: ignore[arg-type]
        reference_photographs=rate.photographs,
        reference_patients=rate.patients,
        reference=(rate.fraction,),
        batch=(fraction,),
        index=None,
        effect=abs(fraction - rate.fraction),
        p_value=rate_p_value(rate, fraction, patients),
    )


def _compare_measure(
    counts: dict[str, object],
    values: NDArray[np.float64],
    patients: float,
    expected: Distribution,
    tolerance: float,
) -> Comparison:
    index = stability(expected, values, patients)
    distance = ks_distance(expected, values, tolerance=tolerance * abs(expected.quantile(0.5)))
    return Comparison(
        **counts,  # type: ignore[arg-type]
        reference_photographs=expected.photographs,
        reference_patients=expected.patients,
        reference=tuple(expected.quantile(level) for level in SHOWN_QUANTILES),
        batch=tuple(np.quantile(values, SHOWN_QUANTILES, method="inverted_cdf").tolist()),
        index=index.value,
        effect=index.excess,
        p_value=ks_p_value(distance, expected.patients, patients),
    )


def _completed(comparison: Comparison, limits: Limits, *, tests: int) -> Comparison:
    """Adds the verdict, and what a batch of this size detects."""
    detectable = None
    if comparison.index is not None:
        patients = comparison.reference_patients, comparison.patients
        detectable = detectable_shift(*patients, alpha=limits.alpha, tests=tests)
    return replace(comparison, verdict=limits.verdict(comparison), detectable=detectable)


def cameras_of(observed: Observations, reference: Reference, allowed: Collection[str] | None = None) -> Cameras:
    """The cameras of a batch; `allowed` None: those of the reference are, if it has any."""
    names, numbers = np.unique(observed.cameras.astype(str), return_counts=True)
    counts = {str(name): int(number) for name, number in zip(names, numbers, strict=True)}
    nameless = counts.pop("", 0)
    if allowed is not None:
        known, source = set(allowed), "the list given"
    else:
        known, source = set(reference.camera_counts), "the reference" if reference.camera_counts else ""
    unknown = {name: count for name, count in counts.items() if source and name not in known}
    return Cameras(source, counts, unknown, nameless)
