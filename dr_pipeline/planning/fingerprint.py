"""What a data set is like, in figures that decide how to train on it (nnU-Net's word: its fingerprint).

Isensee et al., Nature Methods 2021;18:203. Only development photographs are looked at: the test part decides nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv, read_json
from dr_pipeline.planning.colours import Colours, colours, sample
from dr_pipeline.schema import GRADES, MANIFEST_COLUMNS, MANIFEST_VERSION
from dr_pipeline.tables.splits import DEVELOPMENT, SplitRow, read_splits

Row = TypeVar("Row")

_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Fingerprint:
    """The development photographs that have a canvas and a grade.

    Attributes:
        photographs: How many.
        validation_photographs: Of these, how many the split's first fold validates; the rest trains.
        by_grade: Photographs of the grades 0 … 4.
        groups_by_grade: Groups (patients joined by duplicates) that have such a photograph.
        patients: Known patients; 0 where none is known.
        sites: Photographs by site; "" is unknown.
        cameras: The same by camera.
        megapixels: Of the files: the 5th, 50th and 95th percentile.
        disc_px: Diameter of the retinal disc in the files' pixels, the same percentiles.
        canvas_px: Side of the present canvases.
        ungradable_share: Of the development photographs; None where `gradability` has not run.
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
        """The commonest grade's photographs for each of the rarest's; grades without any are left out."""
        present = [count for count in self.by_grade if count]
        return max(present) / min(present)

    @property
    def rarest_groups(self) -> int:
        """Groups of the grade that fewest groups have; grades without any are left out."""
        return min(count for count in self.groups_by_grade if count)


def read_fingerprint(*, audited: Path, splits: Path, canvases: Path, gradability: Path) -> Fingerprint:
    """Reads what the stages up to `split` have written; `gradability` may be missing.

    Raises:
        DataError: A stage has not run, its tables do not fit together, or no photograph is left to develop on.
    """
    for path, stage in ((canvases / "index.csv", "preprocess"), (audited, "audit"), (splits, "split")):
        if not path.is_file():
            raise DataError(f"the stage {stage} has not run", where=str(path), todo="run `dvc repro split` first")
    rows = [row for row in read_splits(splits) if row.split == DEVELOPMENT]
    if not rows:
        raise DataError("no photograph to develop on", where=str(splits), todo="remake it with `dvc repro split`")
    manifest = {row["image_id"]: row for row in read_csv(audited, MANIFEST_COLUMNS, version=MANIFEST_VERSION)}
    store = CanvasStore(canvases)
    known, index = _of(rows, manifest, audited), _of(rows, store.rows, canvases / "index.csv")
    in_fold = [row.fold for row in rows if row.fold is not None]
    return Fingerprint(
        photographs=len(rows),
        validation_photographs=in_fold.count(min(in_fold)) if in_fold else 0,
        by_grade=tuple(sum(row.grade == grade for row in rows) for grade in GRADES),
        groups_by_grade=tuple(len({row.group for row in rows if row.grade == grade}) for grade in GRADES),
        patients=len({row.patient_id for row in rows} - {""}),
        sites=_counts(row.site for row in rows),
        cameras=_counts(row["camera"] for row in known),
        megapixels=_quantiles([(row.width or 0) * (row.height or 0) / 1e6 for row in index], 3),
        disc_px=_quantiles([2 * (row.disc_radius or 0) for row in index], 1),
        canvas_px=store.pixel_path.canvas_px,
        ungradable_share=_ungradable(gradability),
        colours=colours(store, sample([row.image_id for row in rows])),
    )


def _of(rows: Sequence[SplitRow], table: Mapping[str, Row], path: Path) -> list[Row]:
    missing = [row.image_id for row in rows if row.image_id not in table]
    if missing:
        raise DataError(
            f"{len(missing)} photographs of the split are not here, such as {missing[0]!r}",
            where=str(path),
            todo="run `dvc repro split`, which remakes what is old",
        )
    return [table[row.image_id] for row in rows]


def _counts(names: Any) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _quantiles(values: Sequence[float], digits: int) -> tuple[float, ...]:
    return tuple(round(float(value), digits) for value in np.quantile(values, _QUANTILES))


def _ungradable(path: Path) -> float | None:
    if not path.is_file():
        return None
    share = read_json(path)["gradability"]["development"]["all"]["value"]
    return None if share is None else float(share)
