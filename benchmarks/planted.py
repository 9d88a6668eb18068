"""Data sets with planted faults and known ground truth: the phantom, and ones made from real photographs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.files import read_json, sha256_bytes
from dr_pipeline.fundus.formats.exif import apply_orientation
from dr_pipeline.intake.phantom.generate import GROUND_TRUTH, LABELS, PHANTOM_LABELS, PHOTOGRAPHS, PhantomLabel
from dr_pipeline.intake.phantom.jpeg_files import EXACT_COPIES, NEAR_COPIES, copy_file, encode, with_orientation
from dr_pipeline.intake.phantom.non_fundus import NON_FUNDUS_KINDS, draw_non_fundus
from dr_pipeline.schema import Eye

JPEG_QUALITY = 92
# EXIF orientation → the orientation that undoes it: 6 and 8 undo each other.
_INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
_TURNS = (2, 3, 4, 5, 6, 7, 8)


@dataclass(frozen=True)
class Pair:
    """A photograph and its copy; `kind` names the fault and the kind of copy, as "near: cropped"."""

    kind: str
    original: str
    copy: str


@dataclass
class Planted:
    """Ground truth of a data set.

    Attributes:
        origin: The photograph that each file shows, by image id; None where it shows no fundus.
        pairs: The planted copies.
        turned: Photographs stored turned, with the orientation that turns them back.
        swapped: Photographs with red and blue exchanged.
        non_fundus: Files that show no fundus, with what they show.
        labels: (patient, grade) by image id.
    """

    origin: dict[str, str | None] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    turned: dict[str, int] = field(default_factory=dict)
    swapped: list[str] = field(default_factory=list)
    non_fundus: dict[str, str] = field(default_factory=dict)
    labels: dict[str, tuple[str, str]] = field(default_factory=dict)

    def origins_with_several(self, which: int) -> set[str]:
        """Photographs whose files have several patients (`which` 0) or grades (1)."""
        values_of: dict[str, set[str]] = {}
        for image_id, label in self.labels.items():
            if (origin := self.origin[image_id]) is not None:
                values_of.setdefault(origin, set()).add(label[which])
        return {origin for origin, values in values_of.items() if len(values) > 1}


def read_labels(root: Path) -> dict[str, tuple[str, str]]:
    """(patient, grade) by image id."""
    return {Path(row.image).stem: (row.patient, str(row.grade)) for row in PHANTOM_LABELS.read(root / LABELS)}


def phantom_truth(root: Path) -> Planted:
    """Reads the phantom's own ground-truth file."""
    truth = read_json(root / GROUND_TRUTH)
    faults: dict[str, list[dict[str, Any]]] = truth["faults"]
    planted = Planted(labels=read_labels(root))
    planted.origin = dict.fromkeys(truth["photographs"])
    planted.origin |= {name: name for name, entry in truth["photographs"].items() if "not_fundus" not in entry}
    names = {"exact_duplicates": "exact", "near_duplicates": "near"}
    for fault in ("exact_duplicates", "near_duplicates", "cross_patient", "contradictions"):
        for entry in faults[fault]:
            kind = f"{names[fault]}: {entry['way']}" if fault in names else fault
            planted.pairs.append(Pair(kind, entry["original"], entry["copy"]))
            planted.origin[entry["copy"]] = entry["original"]
    planted.turned = {entry["image"]: entry["orientation"] for entry in faults["exif_turns"]}
    planted.swapped = [entry["image"] for entry in faults["colour_order"]]
    planted.non_fundus = {entry["image"]: entry["kind"] for entry in faults["not_fundus"]}
    return planted


def plant_in_photographs(
    originals: Sequence[Path], grades: Sequence[int], out: Path, *, per_kind: int, long_side_px: int, seed: int
) -> Planted:
    """Makes a data set in the phantom's layout from real photographs and faulty copies of them.

    A quarter of the photographs are stored with exchanged colours and have no copies; the others have copies of several
    kinds each. Every original belongs to its own patient.

    Args:
        originals: JPEG files.
        grades: Their grades.
        out: Folder to fill.
        per_kind: Faults of each kind, and copies of each kind of copy.
        long_side_px: To which the photographs are reduced.
        seed: Seed of patients, grades and kinds of copy.
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
        # Real sets contain identical photographs; they count as one, so that detecting them is no false alarm.
        origin = pixels.setdefault(sha256_bytes(rgb.tobytes()), name)
        swapped = number >= len(originals) - num_swapped
        plain = encode(np.ascontiguousarray(rgb[..., ::-1]) if swapped else rgb, JPEG_QUALITY)
        add(name, plain, origin, patient, grade)
        if swapped:
            planted.swapped.append(name)
        for place, kind in enumerate(kind for kind, home in zip(kinds, homes, strict=True) if home == number):
            copy = f"{name}_{place}"
            stranger = f"patient{(number + 1 + int(rng.integers(len(originals) - 1))) % len(originals):04d}"
            other = grade + 1 if grade == 0 or (grade < 4 and rng.random() < 0.5) else grade - 1
            planted.pairs.append(Pair(kind, name, copy))
            add(
                copy,
                _copy(kind, plain, rgb, place + number, planted.turned, copy),
                origin,
                stranger if kind == "cross_patient" else patient,
                other if kind == "contradictions" else grade,
            )
    height, width = rgb.shape[:2]
    for number in range(per_kind):
        kind = NON_FUNDUS_KINDS[number % len(NON_FUNDUS_KINDS)]
        name = f"s{number:04d}"
        data = encode(draw_non_fundus(rng, kind, width, height), JPEG_QUALITY)
        add(name, data, None, f"patient{number:04d}", number % 5)
        planted.non_fundus[name] = kind
    PHANTOM_LABELS.write(out / LABELS, _labels(planted))
    return planted


def _kinds(per_kind: int) -> list[str]:
    """Every copy to make, ordered so that one photograph's copies are of different kinds."""
    exact = [f"exact: {EXACT_COPIES[number % len(EXACT_COPIES)]}" for number in range(per_kind)]
    others = ["turned, EXIF", "turned, EXIF lost", "cross_patient", "contradictions"]
    return exact + [kind for kind in (*(f"near: {way}" for way in NEAR_COPIES), *others) for _ in range(per_kind)]


def _copy(kind: str, plain: bytes, rgb: NDArray[np.uint8], turn: int, turned: dict[str, int], name: str) -> bytes:
    if not kind.startswith("turned"):
        way = kind.split(": ")[1] if ": " in kind else EXACT_COPIES[turn % len(EXACT_COPIES)]
        return copy_file(way, plain, rgb, JPEG_QUALITY)
    orientation = _TURNS[turn % len(_TURNS)]
    stored = encode(apply_orientation(rgb, _INVERSE[orientation]), JPEG_QUALITY)
    if kind == "turned, EXIF lost":
        return stored
    turned[name] = orientation
    return with_orientation(stored, orientation)


def _reduced(path: Path, long_side_px: int) -> NDArray[np.uint8]:
    """Decodes at a quarter of the sides, which is fast and sharp enough, then resizes to the requested side."""
    bgr = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_4)
    factor = long_side_px / max(bgr.shape[:2])
    size = (round(bgr.shape[1] * factor), round(bgr.shape[0] * factor))
    return np.ascontiguousarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)[..., ::-1])


def _labels(planted: Planted) -> Iterator[PhantomLabel]:
    for name, (patient, grade) in sorted(planted.labels.items()):
        image = f"{name}.jpg"
        yield PhantomLabel(image=image, patient=patient, eye=Eye.UNKNOWN, grade=int(grade), camera="one", site="one")
