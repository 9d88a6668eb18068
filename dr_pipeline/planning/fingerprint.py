"""The figures of a data set that decide how to train on it: its fingerprint, as nnU-Net calls it.

Isensee et al., Nature Methods 2021;18:203. Only development photographs are read: the test part decides nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import DataError
from dr_pipeline.files import read_json, sha256_bytes
from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.schema import GRADES
from dr_pipeline.tables.manifest import read_manifest
from dr_pipeline.tables.splits import DEVELOPMENT, SplitRow, read_splits

_QUANTILES = (0.05, 0.5, 0.95)
_MAX_CANVASES = 200

Row = TypeVar("Row")


@dataclass(frozen=True)
class Colours:
    """Red, green and blue in 0 … 1, over all pixels of the discs of `photographs` canvases.

    `spread` is the standard deviation of the photographs' own means: it reflects lighting and camera.
    """

    photographs: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    spread: tuple[float, float, float]


@dataclass(frozen=True)
class Fingerprint:
    """The development photographs that have a canvas and a grade.

    Attributes:
        photographs: Their number.
        validation_photographs: Of these, the number that the split's first fold validates; the rest trains.
        by_grade: Photographs of the grades 0 … 4.
        groups_by_grade: Groups (patients joined by duplicates) that have such a photograph.
        patients: Known patients; 0 where none is known.
        sites: Photographs by site; "" is unknown.
        cameras: The same by camera.
        megapixels: Of the files: the 5th, 50th and 95th percentile.
        disc_px: Diameter of the retinal disc in the files' pixels, the same percentiles.
        canvas_px: Side of the present canvases.
        ungradable_share: Fraction of the development photographs; None where `gradability` has not run.
        colours: Inside the disc, from a sample.
    """

    photographs: int
    validation_photographs: int
    by_grade: tuple[int, ...]
    groups_by_grade: tuple[int, ...]
    patients: int
    sites: Mapping[str, int]
    cameras: Mapping[str, int]
    megapixels: tuple[float, ...]
    disc_px: tuple[float, ...]
    canvas_px: int
    ungradable_share: float | None
    colours: Colours

    @property
    def imbalance(self) -> float:
        """Ratio of the most to the least frequent grade; grades without photographs are left out."""
        present = [count for count in self.by_grade if count]
        return max(present) / min(present)

    @property
    def rarest_groups(self) -> int:
        """Groups of the grade that fewest groups have; grades without any are left out."""
        return min(count for count in self.groups_by_grade if count)


def read_fingerprint(*, audited: Path, splits: Path, canvases: Path, gradability: Path) -> Fingerprint:
    """Reads what the stages up to `split` have written; `gradability` may be missing.

    Raises:
        DataError: A stage has not run, its tables do not fit together, or there is no development photograph.
    """
    index = canvases / "index.csv"
    for path, stage in ((index, "preprocess"), (audited, "audit"), (splits, "split")):
        if not path.is_file():
            raise DataError(f"the stage {stage} has not run", where=str(path), todo="run `dvc repro split` first")
    rows = [row for row in read_splits(splits) if row.split == DEVELOPMENT]
    if not rows:
        raise DataError("no development photograph", where=str(splits), todo="run `dvc repro split`")
    store = CanvasStore(canvases)
    photographs = _select(rows, {row.image_id: row for row in read_manifest(audited)}, audited)
    canvas_rows = _select(rows, store.rows, index)
    in_fold = [row.fold for row in rows if row.fold is not None]
    sizes = [row.width * row.height / 1e6 for row in canvas_rows if row.width is not None and row.height is not None]
    return Fingerprint(
        photographs=len(rows),
        validation_photographs=in_fold.count(min(in_fold)) if in_fold else 0,
        by_grade=tuple(sum(row.grade == grade for row in rows) for grade in GRADES),
        groups_by_grade=tuple(len({row.group for row in rows if row.grade == grade}) for grade in GRADES),
        patients=len({row.patient_id for row in rows} - {""}),
        sites=_counts(row.site for row in rows),
        cameras=_counts(row.camera for row in photographs),
        megapixels=_quantiles(sizes, 3),
        disc_px=_quantiles([2 * row.disc_radius for row in canvas_rows if row.disc_radius is not None], 1),
        canvas_px=store.pixel_path.canvas_px,
        ungradable_share=_ungradable_fraction(gradability),
        colours=measure_colours(store, sample([row.image_id for row in rows])),
    )


def _select(rows: Sequence[SplitRow], table: Mapping[str, Row], path: Path) -> list[Row]:
    missing = [row.image_id for row in rows if row.image_id not in table]
    if missing:
        raise DataError(
            f"{len(missing)} photographs of the split are not here, such as {missing[0]!r}",
            where=str(path),
            todo="run `dvc repro split`, which rebuilds outdated tables",
        )
    return [table[row.image_id] for row in rows]


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _quantiles(values: Sequence[float], digits: int) -> tuple[float, ...]:
    return tuple(round(float(value), digits) for value in np.quantile(values, _QUANTILES))


def _ungradable_fraction(path: Path) -> float | None:
    if not path.is_file():
        return None
    value = read_json(path)["gradability"]["development"]["all"]["value"]
    return None if value is None else float(value)


class Canvases(Protocol):
    """Whatever gives canvases by name."""

    def read(self, image_id: str) -> NDArray[np.uint8]:
        """(canvas_px, canvas_px, 3) RGB."""
        ...


def sample(image_ids: Sequence[str], count: int = _MAX_CANVASES) -> list[str]:
    """At most `count` names, chosen by their hash, so that the order of a table does not matter."""
    return sorted(image_ids, key=lambda name: sha256_bytes(name.encode()))[:count]


def measure_colours(canvases: Canvases, image_ids: Sequence[str]) -> Colours:
    """Colour statistics inside the retinal disc; canvases are read one by one.

    Raises:
        ValueError: No canvas was named.
        DataError: A canvas cannot be read.
    """
    if not image_ids:
        raise ValueError("colours need at least one canvas")
    means, squares = [], []
    for name in image_ids:
        canvas = canvases.read(name)
        disc = canvas[disc_mask(canvas.shape[0]) > 0].astype(np.float64) / 255
        means.append(disc.mean(axis=0))
        squares.append((disc**2).mean(axis=0))
    mean = np.mean(means, axis=0)
    std = np.sqrt(np.maximum(np.mean(squares, axis=0) - mean**2, 0.0))
    return Colours(len(means), _rounded(mean), _rounded(std), _rounded(np.std(means, axis=0)))


def _rounded(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (round(float(value), 4) for value in values)
    return red, green, blue
