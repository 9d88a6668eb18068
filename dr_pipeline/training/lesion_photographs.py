"""The photographs of a data set with masks of lesions: which are in the grading set, and which stay together.

No photograph may train lesions and test grades. Each is compared with the grading set by its pixels, as a near
duplicate and as another photograph of one eye, on canvases of the grading set's own pixel path, and by the patient's
id. What belongs to the grading set's test part is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.near_duplicates import find_near_duplicates
from dr_pipeline.audit.same_eye import find_same_eyes
from dr_pipeline.canvases.build import build_store
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.components import components
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import DataError
from dr_pipeline.intake.build_manifest import manifest_rows
from dr_pipeline.intake.lesion_adapters.lesion_set import LesionSet
from dr_pipeline.intake.records import Intake, Record
from dr_pipeline.schema import Split, Status
from dr_pipeline.splitting.groups import bridges_of, group_photographs, photographs_of
from dr_pipeline.tables.canvas_index import CanvasRow
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.splits import SplitRow
from dr_pipeline.training.self_supervised.photographs import related_ids

OF_TEST_PART = "in the grading set's test part, or of the same patient or eye as a photograph in it"
IDENTICAL, NEAR_DUPLICATE, SAME_EYE = "identical", "near_duplicate", "same_eye"
_GRADING, _LESIONS = "grading", "lesions"
_NUM_SHARDS = 16


@dataclass(frozen=True)
class GradingSet:
    """The photographs with grades.

    Attributes:
        store: Their canvases.
        audited: Every one of them.
        splits: Those with a part.
    """

    store: CanvasStore
    audited: Sequence[ManifestRow]
    splits: Sequence[SplitRow]


@dataclass(frozen=True, order=True)
class Match:
    """A photograph with masks that is in the grading set as well, or whose eye is.

    Attributes:
        image_id: In the data set with masks.
        grading_id: In the grading set.
        how: `IDENTICAL` pixels, `NEAR_DUPLICATE`, or another photograph of the `SAME_EYE`.
        part: Of the grading photograph, such as "test" or "fold 0"; empty: in no part.
    """

    image_id: str
    grading_id: str
    how: str
    part: str


@dataclass(frozen=True)
class LesionPhotographs:
    """The photographs that may train lesions.

    Attributes:
        groups: By image id, the smallest image id among the photographs of one patient, one eye and their copies.
        left_out: The others, by image id, with the reason.
        matches: Those found in the grading set, used or not.
    """

    groups: Mapping[str, str]
    left_out: Mapping[str, str]
    matches: tuple[Match, ...]


def select_photographs(
    lesion_set: LesionSet, root: Path, grading: GradingSet, scratch: Path, engines: EngineChoice
) -> LesionPhotographs:
    """Finds the photographs that may train lesions, and which of them stay together.

    Args:
        lesion_set: The data set with masks.
        root: Its folder.
        grading: The photographs with grades.
        scratch: Folder of the canvases that are compared; those rendered before are kept.
        engines: Where photographs are decoded.

    Raises:
        DataError: There is no photograph with masks, or the grading set's tables are not of the same photographs.
    """
    records = tuple(Record(photograph.image_id, photograph.path, None) for photograph in lesion_set.photographs)
    if not records:
        raise DataError(
            "no photograph has a mask",
            where=str(root),
            todo=f"{len(lesion_set.orphan_masks)} masks belong to no photograph; compare the names",
        )
    rows, _ = manifest_rows(Intake(records, lesion_set.provenance), root, source=_LESIONS)
    build_store(rows, root, scratch, grading.store.pixel_path, num_shards=_NUM_SHARDS, engines=engines)
    pool = _Pool({_LESIONS: CanvasStore(scratch), _GRADING: grading.store})
    links = _links(pool)
    joined = [(one, other) for one, other, _ in links]
    joined += [
        (f"{_LESIONS}/{photograph.image_id}", f"patient/{photograph.patient_id}")
        for photograph in lesion_set.photographs
        if photograph.patient_id
    ]
    joined += [(f"{_GRADING}/{row.image_id}", f"patient/{row.patient_id}") for row in grading.audited if row.patient_id]
    test = {row.image_id for row in grading.splits if row.split == Split.TEST}
    of_test = {f"{_GRADING}/{image_id}" for image_id in related_ids(grading.audited, grading.splits, test)}
    groups: dict[str, str] = {}
    left_out: dict[str, str] = {}
    statuses = {image_id: row.status for image_id, row in pool.stores[_LESIONS].rows.items()}
    for members in components([*joined, *_grading_groups(grading)], pool.names(_LESIONS)):
        image_ids = sorted(name.removeprefix(f"{_LESIONS}/") for name in members if name.startswith(f"{_LESIONS}/"))
        reason = "" if of_test.isdisjoint(members) else OF_TEST_PART
        for image_id in image_ids:
            if why := reason or ("" if statuses[image_id] is Status.SCORED else statuses[image_id].value):
                left_out[image_id] = why
        used = [image_id for image_id in image_ids if image_id not in left_out]
        groups |= dict.fromkeys(used, used[0] if used else "")
    return LesionPhotographs(groups, left_out, _matches(links, grading.splits))


@dataclass(frozen=True)
class _Pool:
    """Photographs of both sets, by names such as "grading/p0001"."""

    stores: Mapping[str, CanvasStore]

    def names(self, store: str) -> list[str]:
        return [f"{store}/{image_id}" for image_id in self.stores[store].rows]

    def row(self, name: str) -> CanvasRow:
        store, _, image_id = name.partition("/")
        return self.stores[store].rows[image_id]

    def read(self, name: str) -> NDArray[np.uint8]:
        store, _, image_id = name.partition("/")
        return self.stores[store].read(image_id)


def _links(pool: _Pool) -> list[tuple[str, str, str]]:
    """Pairs of photographs, at least one of them with masks, and how they belong together.

    Where every photograph with masks is in the grading set itself, its groups say what shows one eye.
    """
    links: list[tuple[str, str, str]] = []
    first_of: dict[str, str] = {}
    hashes: dict[str, str] = {}
    for name in (*pool.names(_GRADING), *pool.names(_LESIONS)):
        row = pool.row(name)
        if row.status in (Status.FAILED, Status.NOT_FUNDUS) or not row.shard:
            continue
        first = first_of.setdefault(row.pixel_hash, name)
        if first == name:
            hashes[name] = row.perceptual_hash
        elif name.startswith(_LESIONS):
            links.append((first, name, IDENTICAL))
    links += [(pair.first, pair.second, NEAR_DUPLICATE) for pair in find_near_duplicates(hashes, pool.read)]
    known = {name for one, other, _ in links if one.startswith(_GRADING) for name in (one, other)}
    new = {name for name in hashes if name.startswith(_LESIONS) and name not in known}
    if new:
        names = new | {name for name in hashes if name.startswith(_GRADING)}
        links += [(pair.first, pair.second, SAME_EYE) for pair in find_same_eyes(names, pool.read, of=new)]
    return [link for link in links if link[1].startswith(_LESIONS)]


def _grading_groups(grading: GradingSet) -> list[tuple[str, str]]:
    """Each graded photograph with the name of its group, joined as for the split, graded and used or not."""
    photographs = photographs_of(replace(row, grade=row.grade or 0, excluded=False) for row in grading.audited)
    return [
        (f"{_GRADING}/{photograph.image_id}", f"group/{group.key}")
        for group in group_photographs(photographs, bridges_of(grading.audited))
        for photograph in group.photographs
    ]


def _matches(links: Sequence[tuple[str, str, str]], splits: Sequence[SplitRow]) -> tuple[Match, ...]:
    part_of = {row.image_id: row.part for row in splits}
    return tuple(
        sorted(
            Match(two.removeprefix(f"{_LESIONS}/"), grading_id, how, part_of.get(grading_id, ""))
            for one, two, how in links
            if one.startswith(_GRADING)
            for grading_id in [one.removeprefix(f"{_GRADING}/")]
        )
    )
