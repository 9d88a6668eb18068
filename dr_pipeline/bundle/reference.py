"""reference.json: how the photographs looked that the model was developed on; `drift` compares batches with it.

It holds distributions alone: a hundred quantiles of each measure and counts, of all photographs and of each site and
camera with enough patients. Nothing in it names or belongs to one patient.
"""

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.bundle_files import REFERENCE
from dr_pipeline.bundle.identity import altered_file, read_sums
from dr_pipeline.bundle_storage import COPY_AGAIN, read_stored
from dr_pipeline.errors import BundleError
from dr_pipeline.files import sha256_bytes

VERSION = 1
# Measure → the decimals with which predictions.csv states it; both sides are rounded, so that ties stay ties.
MEASURES = {
    "megapixels": 4,
    "disc_radius": 2,
    "brightness": 2,
    "contrast": 6,
    "sharpness": 4,
    "red_over_green": 4,
    "blue_over_green": 4,
    "quality": 4,
    "expected_grade": 4,
    "referable_probability": 6,
}
RATES = ("rejected", "referable")
SCORES = ("expected_grade", "referable_probability", "referable")  # of these, what the decision determines
# With fewer patients a group says little, and might say it of somebody.
MIN_PATIENTS = 20
_MAX_GROUPS = 50  # of each kind, the largest
_NUM_QUANTILES = 100
_LEVELS = (np.arange(_NUM_QUANTILES) + 0.5) / _NUM_QUANTILES


@dataclass(frozen=True, eq=False)
class Observations:
    """Measured photographs, N of them.

    Attributes:
        values: Each of MEASURES and RATES → (N,) numbers, nan where it was not measured; rates are 0 or 1.
        patients: N ids of what is independent of the rest; "" where it is unknown.
        sites: N names; "" where unknown.
        cameras: N names; "" where unknown.
    """

    values: Mapping[str, NDArray[np.float64]]
    patients: NDArray[np.object_]
    sites: NDArray[np.object_]
    cameras: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.patients)

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, str, Mapping[str, float | None]]]) -> "Observations":
        """From patient, site, camera and the measured values of each photograph; what is None is nan."""
        names = (*MEASURES, *RATES)
        people: list[tuple[str, str, str]] = []
        numbers = array("d")  # of millions of photographs
        for patient, site, camera, measured in rows:
            people.append((patient, site, camera))
            numbers.extend(np.nan if (value := measured.get(name)) is None else value for name in names)
        table = np.array(numbers).reshape(len(people), len(names))
        texts = np.array(people, dtype=object).reshape(len(people), 3)
        values = {name: np.round(table[:, at], MEASURES.get(name, 0)) for at, name in enumerate(names)}
        return cls(values, texts[:, 0], texts[:, 1], texts[:, 2])

    def where(self, chosen: NDArray[np.bool_]) -> "Observations":
        """The photographs that are chosen."""
        values = {name: column[chosen] for name, column in self.values.items()}
        return Observations(values, self.patients[chosen], self.sites[chosen], self.cameras[chosen])


@dataclass(frozen=True)
class Distribution:
    """The distribution of one measure, as points of equal or given weight.

    Attributes:
        photographs: Measured.
        patients: Of which they are: the number of independent units.
        points: Ascending values.
        weights: One per point, which sum to 1; empty: equal.
    """

    photographs: int
    patients: float
    points: tuple[float, ...]
    weights: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: NDArray[np.float64], patients: float) -> "Distribution":
        """The quantiles of at least one value."""
        points = np.quantile(values, _LEVELS, method="inverted_cdf")
        return cls(len(values), patients, tuple(points.tolist()))

    @classmethod
    def mixture(cls, parts: Sequence[tuple[float, "Distribution"]]) -> "Distribution":
        """The distribution of several groups by their shares, which sum to 1."""
        points = np.concatenate([part.points for _, part in parts])
        weights = np.concatenate([np.full(len(part.points), share / len(part.points)) for share, part in parts])
        order = np.argsort(points, kind="stable")
        return cls(
            photographs=sum(part.photographs for _, part in parts),
            patients=1 / sum(share**2 / part.patients for share, part in parts),
            points=tuple(points[order].tolist()),
            weights=tuple(weights[order].tolist()),
        )

    @cached_property
    def _steps(self) -> NDArray[np.float64]:
        count = len(self.points)
        weights = np.array(self.weights) if self.weights else np.full(count, 1 / count)
        return np.concatenate([[0.0], np.cumsum(weights)])

    def cdf(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The fraction at or below each value."""
        return np.asarray(self._steps[np.searchsorted(self.points, values, side="right")])

    def quantile(self, level: float) -> float:
        """The smallest point at or below which this fraction lies."""
        place = int(np.searchsorted(self._steps[1:], level - 1e-9))
        return self.points[min(place, len(self.points) - 1)]


@dataclass(frozen=True)
class Rate:
    """How many of the photographs are so, and of how many patients they are."""

    photographs: int
    patients: float
    fraction: float

    @classmethod
    def mixture(cls, parts: Sequence[tuple[float, "Rate"]]) -> "Rate":
        """The rate of several groups by their shares, which sum to 1."""
        patients = 1 / sum(share**2 / part.patients for share, part in parts)
        fraction = sum(share * part.fraction for share, part in parts)
        return cls(sum(part.photographs for _, part in parts), patients, fraction)


@dataclass(frozen=True)
class Group:
    """The photographs of one site, of one camera, or all; a measure that none of them has is left out."""

    photographs: int
    patients: float
    measures: Mapping[str, Distribution] = field(default_factory=dict)
    rates: Mapping[str, Rate] = field(default_factory=dict)

    @classmethod
    def of(cls, observed: Observations, *, photographs_per_patient: float = 1.0) -> "Group":
        """Summarises photographs.

        Args:
            observed: At least one.
            photographs_per_patient: What is assumed of photographs whose patient is unknown.
        """

        def patients(known: NDArray[np.bool_]) -> float:
            return count_patients(observed.patients[known], photographs_per_patient)

        measures, rates = {}, {}
        for name, column in observed.values.items():
            known = ~np.isnan(column)
            if not known.any():
                continue
            if name in RATES:
                rates[name] = Rate(int(known.sum()), patients(known), float(column[known].mean()))
            else:
                measures[name] = Distribution.of(column[known], patients(known))
        return cls(len(observed), patients(np.ones(len(observed), bool)), measures, rates)


def count_patients(ids: NDArray[np.object_], photographs_per_patient: float) -> float:
    """The number of patients; of photographs without an id as many as there would be at this ratio."""
    named = ids[ids != ""]
    return len(set(named)) + (len(ids) - len(named)) / max(1.0, photographs_per_patient)


@dataclass(frozen=True)
class Reference:
    """What a bundle states about the photographs of its development.

    Attributes:
        made_from: In words and hashes, which photographs.
        overall: All of them.
        sites: The sites with at least MIN_PATIENTS patients.
        cameras: The cameras with at least MIN_PATIENTS patients.
        camera_counts: Every camera that a file named → photographs: the cameras that the model knows.
    """

    made_from: Mapping[str, str]
    overall: Group
    sites: Mapping[str, Group] = field(default_factory=dict)
    cameras: Mapping[str, Group] = field(default_factory=dict)
    camera_counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, observed: Observations, made_from: Mapping[str, str]) -> "Reference":
        """Summarises the photographs of development; at least one."""
        names, counts = np.unique(observed.cameras[observed.cameras != ""].astype(str), return_counts=True)
        return cls(
            made_from=dict(made_from),
            overall=Group.of(observed),
            sites=_groups(observed, observed.sites),
            cameras=_groups(observed, observed.cameras),
            camera_counts={str(name): int(count) for name, count in zip(names, counts, strict=True)},
        )

    def without_scores(self) -> "Reference":
        """The looks alone: for a bundle of another decision, whose scores are others."""
        return replace(
            self,
            made_from={key: text for key, text in self.made_from.items() if key != "scores"},
            overall=_without_scores(self.overall),
            sites={name: _without_scores(group) for name, group in self.sites.items()},
            cameras={name: _without_scores(group) for name, group in self.cameras.items()},
        )

    @property
    def photographs_per_patient(self) -> float:
        """Over all photographs."""
        return self.overall.photographs / self.overall.patients

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "schema_version": VERSION,
            "made_from": dict(self.made_from),
            "overall": _group_to_dict(self.overall),
            "sites": {name: _group_to_dict(group) for name, group in self.sites.items()},
            "cameras": {name: _group_to_dict(group) for name, group in self.cameras.items()},
            "camera_counts": dict(self.camera_counts),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], *, where: str) -> "Reference":
        """Reads what `to_dict` wrote.

        Raises:
            BundleError: It is of another version, or malformed.
        """
        todo = "remake the bundle with `dvc repro package`"
        if (version := value.get("schema_version") if isinstance(value, Mapping) else None) != VERSION:
            what = f"the drift reference has schema_version {version!r}; this dr-pipeline reads {VERSION}"
            raise BundleError(what, where=where, todo=todo)
        try:
            return cls(
                made_from={str(key): str(text) for key, text in value["made_from"].items()},
                overall=_group_from_dict(value["overall"]),
                sites={str(name): _group_from_dict(group) for name, group in value["sites"].items()},
                cameras={str(name): _group_from_dict(group) for name, group in value["cameras"].items()},
                camera_counts={str(name): int(count) for name, count in value["camera_counts"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"the drift reference is unusable: {error!r}", where=where, todo=todo) from None


def read_reference(root: Path) -> Reference | None:
    """How the photographs of development looked; None where the bundle has no reference.json. Loads no network.

    Raises:
        BundleError: There is no bundle; the file is missing, altered or malformed.
    """
    sums, where = read_sums(root), str(root / REFERENCE)
    if REFERENCE not in sums:
        return None
    data = read_stored(root, REFERENCE)
    if sha256_bytes(data) != sums[REFERENCE]:
        raise altered_file(REFERENCE, root)
    try:
        value = json.loads(data)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError both
        raise BundleError(f"not valid JSON: {error}", where=where, todo=COPY_AGAIN) from None
    return Reference.from_dict(value, where=where)


def _groups(observed: Observations, names: NDArray[np.object_]) -> dict[str, Group]:
    """The largest groups, by name; those of few patients and of no name are left out."""
    groups = {name: observed.where(names == name) for name in sorted(set(names) - {""})}
    large = {name: part for name, part in groups.items() if count_patients(part.patients, 1.0) >= MIN_PATIENTS}
    kept = sorted(sorted(large, key=lambda name: -len(large[name]))[:_MAX_GROUPS])
    return {name: Group.of(large[name]) for name in kept}


def _without_scores(group: Group) -> Group:
    measures = {name: distribution for name, distribution in group.measures.items() if name not in SCORES}
    return replace(group, measures=measures, rates={name: r for name, r in group.rates.items() if name not in SCORES})


def _group_to_dict(group: Group) -> dict[str, Any]:
    return {
        "photographs": group.photographs,
        "patients": group.patients,
        "measures": {
            name: {"photographs": part.photographs, "patients": part.patients, "quantiles": list(part.points)}
            for name, part in group.measures.items()
        },
        "rates": {
            name: {"photographs": rate.photographs, "patients": rate.patients, "fraction": rate.fraction}
            for name, rate in group.rates.items()
        },
    }


def _group_from_dict(value: Mapping[str, Any]) -> Group:
    measures, rates = {}, {}
    for name, part in value["measures"].items():
        points = tuple(float(point) for point in part["quantiles"])
        if name not in MEASURES or not points or list(points) != sorted(points) or not np.isfinite(points).all():
            raise ValueError(f"{name!r} has no ascending quantiles, or is no known measure")
        measures[name] = Distribution(int(part["photographs"]), _positive(part["patients"]), points)
    for name, rate in value["rates"].items():
        fraction = float(rate["fraction"])
        if name not in RATES or not 0 <= fraction <= 1:
            raise ValueError(f"{name!r} is no fraction, or no known rate")
        rates[name] = Rate(int(rate["photographs"]), _positive(rate["patients"]), fraction)
    in_order = {name: measures[name] for name in MEASURES if name in measures}  # JSON has them by name
    return Group(int(value["photographs"]), _positive(value["patients"]), in_order, rates)


def _positive(number: Any) -> float:
    if not 0 < float(number) < np.inf:
        raise ValueError(f"{number!r} patients")
    return float(number)
