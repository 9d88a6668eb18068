"""Duplicates: photographs with identical decoded pixels, and near duplicates, joined into clusters.

Decoded, upright pixels are compared, so that another file name, lossless format or EXIF orientation does not matter.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.audit.near_duplicates import NearDuplicate
from dr_pipeline.components import components


@dataclass(frozen=True)
class Cluster:
    """Photographs that are duplicates of one another, directly or through others.

    Attributes:
        name: The smallest of its image ids.
        image_ids: Sorted.
        near: The near-duplicate pairs among them.
    """

    name: str
    image_ids: tuple[str, ...]
    near: tuple[NearDuplicate, ...]


@dataclass(frozen=True)
class Duplicates:
    """The duplicates of a data set.

    Attributes:
        identical: Groups of image ids with equal pixels; groups and their members are sorted.
        near: Near-duplicate pairs; of identical photographs only the first takes part.
        clusters: Connected components over both, by name.
    """

    identical: tuple[tuple[str, ...], ...]
    near: tuple[NearDuplicate, ...]
    clusters: tuple[Cluster, ...]

    def cluster_names(self) -> dict[str, str]:
        """The cluster's name by image id; photographs without duplicates are left out."""
        return {image_id: cluster.name for cluster in self.clusters for image_id in cluster.image_ids}


def identical_groups(inputs: AuditInputs) -> tuple[tuple[str, ...], ...]:
    """Groups of two or more photographs with equal decoded pixels."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for image_id in inputs.rows:
        if pixels := inputs.index[image_id].pixel_hash:
            groups[pixels].append(image_id)
    return tuple(sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1))


def hashes_to_compare(inputs: AuditInputs, identical: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """Perceptual hashes by image id of all photographs that show a fundus, one of each identical group.

    A thousand copies of one photograph would give half a million pairs; the first represents them. The hash 0 means
    a dark frame; dark frames resemble each other without being copies.
    """
    further = {image_id for group in identical for image_id in group[1:]}
    return {
        image_id: row.perceptual_hash
        for image_id, row in sorted(inputs.index.items())
        if row.perceptual_hash.strip("0") and row.shard and image_id not in further and inputs.shows_fundus(image_id)
    }


def join_duplicates(identical: tuple[tuple[str, ...], ...], near: Iterable[NearDuplicate]) -> Duplicates:
    """Joins groups and pairs into clusters."""
    pairs = tuple(near)
    links = [(group[0], other) for group in identical for other in group[1:]]
    joined = components([*links, *((pair.first, pair.second) for pair in pairs)])
    name_of = {image_id: members[0] for members in joined for image_id in members}
    of_cluster: defaultdict[str, list[NearDuplicate]] = defaultdict(list)
    for pair in pairs:
        of_cluster[name_of[pair.first]].append(pair)
    clusters = tuple(Cluster(members[0], members, tuple(of_cluster[members[0]])) for members in joined)
    return Duplicates(identical, pairs, clusters)
