"""The photographs of a self-supervised training: those of the data set and of a further folder, without held-out ones.

Held out are the test part, the validation part of the fold, and what belongs to either: photographs of the same patient
or eye, copies, and whole sites that only the test part has. No grade is read, but the figures of
photographs whose pixels a network has been trained on are too good.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.near_duplicates import find_near_duplicates
from dr_pipeline.canvases.build import build_store
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.components import components
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import DataError
from dr_pipeline.folder_rules import describe_counts
from dr_pipeline.intake.build_manifest import manifest_rows
from dr_pipeline.intake.photographs import ids_from_paths, list_photographs
from dr_pipeline.intake.records import Intake, Provenance, Record
from dr_pipeline.logs import logger
from dr_pipeline.schema import Split, Status
from dr_pipeline.splitting.groups import grouped_with
from dr_pipeline.tables.canvas_index import CanvasRow
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.splits import SplitRow

TEST_OR_VALIDATION = "test or validation part"
OF_HELD_OUT = "same patient, eye, copy or site as a held-out photograph"
COPIES = "copies of held-out photographs"
UNNAMEABLE = "file names that are not UTF-8"
_NUM_SHARDS = 16
DATA_SET, FOLDER = "data set", "folder"


@dataclass(frozen=True)
class Photographs:
    """Photographs to learn from, and how many were left out.

    Attributes:
        stores: Their canvases, by the first part of a name.
        names: `store/image_id`.
        left_out: Number of photographs by reason.
    """

    stores: Mapping[str, CanvasStore]
    names: tuple[str, ...]
    left_out: Mapping[str, int]

    @property
    def canvas_px(self) -> int:
        """Side of the canvases, the same in all stores."""
        return self.stores[DATA_SET].pixel_path.canvas_px

    def row(self, name: str) -> CanvasRow:
        """What preprocessing found in one photograph."""
        store, _, image_id = name.partition("/")
        return self.stores[store].rows[image_id]

    def read(self, name: str) -> NDArray[np.uint8]:
        """One canvas: (canvas_px, canvas_px, 3) RGB."""
        store, _, image_id = name.partition("/")
        return self.stores[store].read(image_id)


def collect_photographs(
    store: CanvasStore,
    audited: Sequence[ManifestRow],
    splits: Sequence[SplitRow],
    fold: int,
    *,
    folder: Path,
    scratch: Path,
    engines: EngineChoice = EngineChoice(),  # noqa: B008 - frozen
) -> Photographs:
    """The photographs of the data set and of a folder.

    Args:
        store: Canvases of the data set.
        audited: Every photograph of the data set.
        splits: Those with a part.
        fold: Its validation part is held out.
        folder: Further photographs; the store's own folder for none.
        scratch: Folder for the canvases of the further photographs; those that were rendered before are kept.
        engines: Where they are decoded.

    Raises:
        DataError: A table is of other photographs, or the folder is missing or holds no photograph.
    """
    photographs = of_data_set(store, audited, splits, fold)
    if folder.resolve() == store.root.resolve():
        return photographs
    return with_folder(photographs, folder, held_out_ids(splits, fold), scratch=scratch, engines=engines)


def held_out_ids(splits: Sequence[SplitRow], fold: int) -> set[str]:
    """The test part, and the validation part of a fold."""
    return {row.image_id for row in splits if row.split == Split.TEST or row.fold == fold}


def related_ids(audited: Sequence[ManifestRow], splits: Sequence[SplitRow], held_out: set[str]) -> set[str]:
    """Photographs, with a grade or without, that belong to held-out ones; these are included.

    Args:
        audited: Every photograph of the data set.
        splits: Those with a part.
        held_out: From held_out_ids.

    Raises:
        DataError: The tables are not of the same photographs.
    """
    if unknown := held_out - {row.image_id for row in audited}:
        raise DataError(
            f"{len(unknown)} photographs of the split are not in the audited manifest",
            where="the split",
            todo="run `dvc repro split`, which writes it again",
        )
    related = grouped_with(audited, held_out)
    tested, others = ({row.site for row in splits if (row.split == Split.TEST) is test} for test in (True, False))
    return related | {
        row.image_id for row in audited if row.official_split is Split.TEST or row.site in tested - others
    }


def of_data_set(
    store: CanvasStore, audited: Sequence[ManifestRow], splits: Sequence[SplitRow], fold: int
) -> Photographs:
    """The gradable photographs of the data set that do not belong to held-out ones.

    Raises:
        DataError: The split and the audited manifest are not of the same photographs.
    """
    held_out = held_out_ids(splits, fold)
    related = related_ids(audited, splits, held_out)
    left_out = Counter[str]()
    names = []
    for image_id, row in sorted(store.rows.items()):
        reason = TEST_OR_VALIDATION if image_id in held_out else OF_HELD_OUT if image_id in related else ""
        if reason or row.status is not Status.SCORED:
            left_out[reason or row.status.value] += 1
        else:
            names.append(f"{DATA_SET}/{image_id}")
    return Photographs({DATA_SET: store}, tuple(names), left_out)


def with_folder(
    photographs: Photographs,
    folder: Path,
    held_out: set[str],
    *,
    scratch: Path,
    engines: EngineChoice = EngineChoice(),  # noqa: B008 - frozen
) -> Photographs:
    """Adds the gradable photographs of a folder, without copies of held-out ones: equal pixels or near duplicates.

    Another photograph of a held-out eye is not recognised: the folder has no patients.

    Args:
        photographs: From of_data_set.
        folder: Its files are searched as those of a data set.
        held_out: Ids in the data set's store that no photograph may be a copy of.
        scratch: Folder of the canvases; those that were rendered before are kept.
        engines: Where the photographs are decoded.

    Raises:
        DataError: The folder is missing, or holds no photograph.
    """
    listing = list_photographs(folder, folder)
    records = tuple(Record(image_id, path, None) for path, image_id in ids_from_paths(listing.photographs).items())
    rows, _ = manifest_rows(Intake(records, Provenance("", "", "")), folder, source="pretraining")
    own = photographs.stores[DATA_SET]
    build_store(rows, folder, scratch, own.pixel_path, num_shards=_NUM_SHARDS, engines=engines)
    further = CanvasStore(scratch)
    pool = Photographs({**photographs.stores, FOLDER: further}, (), {})
    copies = copies_of(
        pool,
        [f"{FOLDER}/{image_id}" for image_id, row in further.rows.items() if row.shard],
        [f"{DATA_SET}/{image_id}" for image_id in held_out if own.rows[image_id].shard],
    )
    left_out = Counter(photographs.left_out)
    if listing.unnameable:
        left_out[UNNAMEABLE] += len(listing.unnameable)
    names = []
    for image_id, row in sorted(further.rows.items()):
        if (name := f"{FOLDER}/{image_id}") in copies:
            left_out[COPIES] += 1
        elif row.status is not Status.SCORED:
            left_out[row.status.value] += 1
        else:
            names.append(name)
    if listing.left_aside:
        logger.info("%s: no photographs: %s", folder, describe_counts(listing.left_aside))
    return replace(pool, names=(*photographs.names, *names), left_out=left_out)


def copies_of(pool: Photographs, names: Sequence[str], held_out: Sequence[str]) -> set[str]:
    """Those of `names` that are copies of a held-out photograph, directly or through another copy."""
    by_pixels: dict[str, str] = {}
    links: list[tuple[str, str]] = []
    hashes: dict[str, str] = {}
    for name in (*held_out, *names):
        row = pool.row(name)
        first = by_pixels.setdefault(row.pixel_hash or name, name)
        if first == name:
            hashes[name] = row.perceptual_hash
        else:
            links.append((first, name))
    links += [(pair.first, pair.second) for pair in find_near_duplicates(hashes, pool.read)]
    forbidden = set(held_out)
    return {name for cluster in components(links) if forbidden & set(cluster) for name in cluster} - forbidden
