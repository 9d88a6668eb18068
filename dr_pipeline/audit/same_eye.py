"""Photographs of one eye: another moment, light or field, so that no pixel and no hash is the same.

Where patients are unknown, such photographs would lie on both sides of a split without a sign. Three steps: features
of every canvas, an index that names a few candidates for each, and the candidates laid on one another. Fellow eyes are
mirror images and do not match.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.duplicates import Duplicates
from dr_pipeline.audit.eye_match import Alignment, aligned_correlation, alignments
from dr_pipeline.audit.feature_index import candidate_pairs
from dr_pipeline.audit.image_similarity import features
from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.audit.retinal_features import retinal_features
from dr_pipeline.components import components
from dr_pipeline.logs import progress
from dr_pipeline.machine import usable_cores
from dr_pipeline.params.curation import Audit

# Size of the cache of the canvases' local contrast, 64 KiB each.
_KEPT_CONTRASTS = 1024


@dataclass(frozen=True)
class SameEyePair:
    """Two photographs of one eye.

    Attributes:
        first: Image id.
        second: Image id, greater than `first`.
        points: Places of the retina that agree on how the two lie on one another.
        correlation: Of the two, laid on one another.
        rotation_deg: Of the second relative to the first.
        scale: Likewise.
        shift: Of the field, as a fraction of its diameter.
    """

    first: str
    second: str
    points: int
    correlation: float
    rotation_deg: float
    scale: float
    shift: float


@dataclass(frozen=True)
class EyeGroup:
    """All photographs of one eye.

    Attributes:
        name: The smallest of its image ids.
        image_ids: Sorted; also the duplicates of those that were compared.
        pairs: The pairs that were found among them.
    """

    name: str
    image_ids: tuple[str, ...]
    pairs: tuple[SameEyePair, ...]


def same_eye_groups(
    inputs: AuditInputs, duplicates: Duplicates, params: Audit, read_canvas: Callable[[str], NDArray[np.uint8]]
) -> tuple[EyeGroup, ...]:
    """Finds the eyes that were photographed twice, among the photographs that show a fundus.

    Args:
        inputs: The tables.
        duplicates: Of each cluster one photograph is compared; the others belong to its group.
        params: `search_same_eye`: "auto" searches where the patient of a photograph is unknown.
        read_canvas: Returns a canvas by image id, (canvas_px, canvas_px, 3) RGB.

    Returns:
        By name. Photographs of one known patient are no finding: they are kept together anyway.
    """
    if not _is_searched(inputs, params):
        return ()
    cluster_of = duplicates.cluster_names()
    names = [
        name
        for name in inputs.rows
        if inputs.shows_fundus(name) and inputs.index[name].shard and cluster_of.get(name, name) == name
    ]
    pairs = [pair for pair in find_same_eyes(names, read_canvas) if not _one_known_patient(inputs, pair)]
    return group_pairs(pairs, {cluster.name: cluster.image_ids for cluster in duplicates.clusters})


def eye_names(groups: Iterable[EyeGroup]) -> dict[str, str]:
    """The group's name by image id; photographs of no group are left out."""
    return {image_id: group.name for group in groups for image_id in group.image_ids}


def group_pairs(pairs: Iterable[SameEyePair], duplicates: Mapping[str, tuple[str, ...]]) -> tuple[EyeGroup, ...]:
    """Joins pairs to groups, with all duplicates of each photograph.

    Args:
        pairs: In any order.
        duplicates: The photographs of each cluster, by name.
    """
    pairs = sorted(pairs, key=lambda pair: (pair.first, pair.second))
    groups = components((pair.first, pair.second) for pair in pairs)
    name_of = {name: members[0] for members in groups for name in members}
    of_group: defaultdict[str, list[SameEyePair]] = defaultdict(list)
    for pair in pairs:
        of_group[name_of[pair.first]].append(pair)
    return tuple(
        EyeGroup(members[0], tuple(sorted(copy for name in members for copy in duplicates.get(name, (name,)))), pairs)
        for members in groups
        for pairs in [tuple(of_group[members[0]])]
    )


def find_same_eyes(
    names: Iterable[str], read_canvas: Callable[[str], NDArray[np.uint8]], *, of: Collection[str] | None = None
) -> list[SameEyePair]:
    """Finds the pairs of photographs that show one eye.

    The memory is about 110 KiB per photograph. The result does not depend on the order of the names.

    Args:
        names: Image ids.
        read_canvas: Returns a canvas by image id, (canvas_px, canvas_px, 3) RGB, all with one enhancement; called by
            several threads.
        of: Only pairs with one of these are looked for; None: all.

    Returns:
        Sorted.
    """
    names = sorted(names)
    # OpenCV works outside Python's lock: threads are enough, and the features need not be sent between processes.
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = pool.map(lambda name: retinal_features(read_canvas(name)), names)
        described = list(progress(found, label="same eye: features", total=len(names)))
    contrast = lru_cache(_KEPT_CONTRASTS)(lambda row: features(read_canvas(names[row])))
    pairs = []
    candidates = candidate_pairs([one.descriptors for one in described])
    if of is not None:
        candidates = [pair for pair in candidates if any(names[row] in of for row in pair)]
    for one, other in progress(candidates, label="same eye: candidates", total=len(candidates)):
        for alignment in alignments(described[one], described[other]):
            similarity = aligned_correlation(alignment, contrast(one), contrast(other))
            if similarity >= alignment.min_correlation:
                pairs.append(_pair(names[one], names[other], alignment, similarity))
                break
    return pairs


def _pair(first: str, second: str, alignment: Alignment, similarity: float) -> SameEyePair:
    return SameEyePair(
        first,
        second,
        alignment.points,
        round(similarity, 4),
        round(alignment.rotation_deg, 1),
        round(alignment.scale, 3),
        round(alignment.shift, 3),
    )


def _is_searched(inputs: AuditInputs, params: Audit) -> bool:
    if params.search_same_eye == "auto":
        return any(not row.patient_id for name, row in inputs.rows.items() if inputs.shows_fundus(name))
    return params.search_same_eye == "always"


def _one_known_patient(inputs: AuditInputs, pair: SameEyePair) -> bool:
    patient = inputs.rows[pair.first].patient_id
    return bool(patient) and patient == inputs.rows[pair.second].patient_id
