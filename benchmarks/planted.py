"""Data sets with planted faults whose truth is known: drawn ones, and ones made from real photographs."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.files import read_json, sha256_bytes, write_csv
from dr_pipeline.fundus.formats.exif import upright
from dr_pipeline.intake.phantom.copies import EXACT_WAYS, NEAR_WAYS, copy_file
from dr_pipeline.intake.phantom.jpeg import encode, with_orientation
from dr_pipeline.intake.phantom.non_fundus import STRAY_KINDS, draw_stray
from dr_pipeline.intake.phantom.write import GROUND_TRUTH, LABELS, LABELS_COLUMNS, PHOTOGRAPHS

JPEG_QUALITY = 92
# The orientation by which a stored picture is turned back, by the one it is stored with: 6 and 8 undo each other.
_INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
_TURNS = (2, 3, 4, 5, 6, 7, 8)


@dataclass(frozen=True)
class Pair:
    """A photograph and its copy; `kind` names the fault and the way, as "near: cropped"."""

    kind: str
    original: str
    copy: str


@dataclass
class Planted:
    """What is true of a data set.

    Attributes:
        origin: The picture that each file shows, by image id; None where it shows no fundus.
        pairs: The planted copies.
        turned: Photographs stored turned, with the orientation that turns them back.
        swapped: Photographs with red and blue exchanged.
        strays: Files that show no fundus, with what they show.
        labels: (patient, grade) by image id.
    """

    origin: dict[str, str | None] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    turned: dict[str, int] = field(default_factory=dict)
    swapped: list[str] = field(default_factory=list)
    strays: dict[str, str] = field(default_factory=dict)
    labels: dict[str, tuple[str, str]] = field(default_factory=dict)

    def origins_with_several(self, which: int) -> set[str]:
        """Pictures whose files have several patients (`which` 0) or grades (1)."""
        found: dict[str, set[str]] = {}
        for image_id, label in self.labels.items():
            if (origin := self.origin[image_id]) is not None:
                found.setdefault(origin, set()).add(label[which])
        return {origin for origin, values in found.items() if len(values) > 1}


def read_labels(root: Path) -> dict[str, tuple[str, str]]:
    """(patient, grade) by image id."""
    with (root / LABELS).open(encoding="utf-8", newline="") as stream:
        return {Path(row["image"]).stem: (row["patient"], row["grade"]) for row in csv.DictReader(stream)}


def phantom_truth(root: Path) -> Planted:
    """What the phantom's own ground-truth file says."""
    truth = read_json(root / GROUND_TRUTH)
    faults: dict[str, list[dict[str, Any]]] = truth["faults"]
    planted = Planted(labels=read_labels(root))
    planted.origin = dict.fromkeys(truth["photographs"])
    planted.origin |= {name: name for name, entry in truth["photographs"].items() if "not_fundus" not in entry}
    names = {"exact_duplicates": "exact", "near_duplicates": "near"}
    for fault in ("exact_duplicates", "near_duplicates", "cross_patient", "contradictions"):
        for one in faults[fault]:
            kind = f"{names[fault]}: {one['way']}" if fault in names else fault
            planted.pairs.append(Pair(kind, one["original"], one["copy"]))
            planted.origin[one["copy"]] = one["original"]
    planted.turned = {one["image"]: one["orientation"] for one in faults["exif_turns"]}
    planted.swapped = [one["image"] for one in faults["colour_order"]]
    planted.strays = {one["image"]: one["kind"] for one in faults["not_fundus"]}
    return planted


def plant_in_photographs(
    originals: Sequence[Path], grades: Sequence[int], out: Path, *, per_kind: int, long_side_px: int, seed: int
) -> Planted:
    """Makes a data set in the phantom's layout from real photographs and faulty copies of them.

    A quarter of the photographs are stored with exchanged colours and have no copies; the others have copies of several
    kinds each. Every original is said to be of its own patient.

    Args:
        originals: JPEG files.
        grades: Their grades.
        out: Folder to fill.
        per_kind: Faults of each kind and way.
        long_side_px: To which the photographs are reduced.
        seed: Of patients, grades, places of the copies.
    """
    rng = np.random.default_rng(seed)
    (out / PHOTOGRAPHS).mkdir(parents=True)
    planted, pixels = Planted(), {}
    num_swapped = min(per_kind, len(originals) // 4)
    kinds = _kinds(per_kind)
    homes = [number % (len(originals) - num_swapped) for number in range(len(kinds))]

    def add(name: str, data: bytes, origin: str | None, patient: str, grade: int) -> None:
        (out / PHOTOGRAPHS / f"{name}.jpg").write_bytes(data)
        planted.origin[name], planted.labels[name] = origin, (patient, str(grade))

    for number, (path, grade) in enumerate(zip(originals, grades, strict=True)):
        name, patient, rgb = f"r{number:04d}", f"patient{number:04d}", _reduced(path, long_side_px)
        # Real sets hold identical photographs already: they are one picture, and no false alarm.
        origin = pixels.setdefault(sha256_bytes(rgb.tobytes()), name)
        swapped = number >= len(originals) - num_swapped
        plain = encode(np.ascontiguousarray(rgb[..., ::-1]) if swapped else rgb, JPEG_QUALITY)
        add(name, plain, origin, patient, grade)
        if swapped:
            planted.swapped.append(name)
        for place, kind in enumerate(kind for kind, home in zip(kinds, homes, strict=True) if home == number):
            copy = f"{name}_{place}"
            said = f"patient{(number + 1 + int(rng.integers(len(originals) - 1))) % len(originals):04d}"
            other = grade + 1 if grade == 0 or (grade < 4 and rng.random() < 0.5) else grade - 1
            planted.pairs.append(Pair(kind, name, copy))
            add(
                copy,
                _copy(kind, plain, rgb, place + number, planted.turned, copy),
                origin,
                said if kind == "cross_patient" else patient,
                other if kind == "contradictions" else grade,
            )
    height, width = rgb.shape[:2]
    for number in range(per_kind):
        kind = STRAY_KINDS[number % len(STRAY_KINDS)]
        name = f"s{number:04d}"
        add(name, encode(draw_stray(rng, kind, width, height), JPEG_QUALITY), None, f"patient{number:04d}", number % 5)
        planted.strays[name] = kind
    write_csv(out / LABELS, LABELS_COLUMNS, _label_rows(planted))
    return planted


def _kinds(per_kind: int) -> list[str]:
    """Every copy to make, so ordered that a photograph's copies are of different kinds."""
    exact = [f"exact: {EXACT_WAYS[number % len(EXACT_WAYS)]}" for number in range(per_kind)]
    others = ["turned, EXIF", "turned, EXIF lost", "cross_patient", "contradictions"]
    return exact + [kind for kind in (*(f"near: {way}" for way in NEAR_WAYS), *others) for _ in range(per_kind)]


def _copy(kind: str, plain: bytes, rgb: NDArray[np.uint8], turn: int, turned: dict[str, int], name: str) -> bytes:
    if not kind.startswith("turned"):
        way = kind.split(": ")[1] if ": " in kind else EXACT_WAYS[turn % len(EXACT_WAYS)]
        return copy_file(way, plain, rgb, JPEG_QUALITY)
    orientation = _TURNS[turn % len(_TURNS)]
    stored = encode(upright(rgb, _INVERSE[orientation]), JPEG_QUALITY)
    if kind == "turned, EXIF lost":
        return stored
    turned[name] = orientation
    return with_orientation(stored, orientation)


def _reduced(path: Path, long_side_px: int) -> NDArray[np.uint8]:
    """Decodes at a quarter of the sides, which is enough and quick, then to the side asked for."""
    bgr = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_4)
    factor = long_side_px / max(bgr.shape[:2])
    size = (round(bgr.shape[1] * factor), round(bgr.shape[0] * factor))
    return np.ascontiguousarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)[..., ::-1])


def _label_rows(planted: Planted) -> Iterator[dict[str, str]]:
    for name, (patient, grade) in sorted(planted.labels.items()):
        row = {"image": f"{name}.jpg", "patient": patient, "grade": grade}
        yield {"eye": "", "camera": "one", "site": "one", **row}
