"""Which photographs are one picture: identical by decoded pixels, near by hash and canvas, joined to clusters.

The same picture saved under another name, format or EXIF turn has equal decoded, upright pixels, whatever its bytes.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dr_pipeline.audit.inputs import Evidence
from dr_pipeline.audit.near_duplicates import NearDuplicate
from dr_pipeline.components import components


@dataclass(frozen=True)
class Cluster:
    """Photographs that are one picture, directly or through others.

    Attributes:
        name: The smallest of its image ids.
        image_ids: Sorted.
        near: The pairs among them that are alike but not identical, by distance and correlation.
    """

    name: str
    image_ids: tuple[str, ...]
    near: tuple[NearDuplicate, ...]


@dataclass(frozen=True)
class SamePictures:
    """What is one picture.

    Attributes:
        identical: Groups of image ids with equal pixels; sorted, each and all.
        near: Pairs that are alike; of identical photographs only the first takes part.
        clusters: Connected components over both, by name.
    """

    identical: tuple[tuple[str, ...], ...]
    near: tuple[NearDuplicate, ...]
    clusters: tuple[Cluster, ...]

    def cluster_names(self) -> dict[str, str]:
        """The cluster's name by image id; photographs that are alone are left out."""
        return {image_id: cluster.name for cluster in self.clusters for image_id in cluster.image_ids}


def identical_groups(evidence: Evidence) -> tuple[tuple[str, ...], ...]:
    """Groups of two or more photographs with equal decoded pixels."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for image_id in evidence.rows:
        if pixels := evidence.index[image_id]["pixel_sha256"]:
            groups[pixels].append(image_id)
    return tuple(sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1))


def hashes_to_compare(evidence: Evidence, identical: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """Perceptual hashes by image id of all photographs that show a fundus, one of each identical group.

    A thousand copies of one picture would make half a million pairs; the first stands for them. The hash 0 means that
    next to nothing is lit, and dark frames are alike without being copies.
    """
    further = {image_id for group in identical for image_id in group[1:]}
    return {
        image_id: row["perceptual_hash"]
        for image_id, row in sorted(evidence.index.items())
        if row["perceptual_hash"].strip("0")
        and row["shard"]
        and image_id not in further
        and evidence.shows_fundus(image_id)
    }


def same_pictures(identical: tuple[tuple[str, ...], ...], near: Iterable[NearDuplicate]) -> SamePictures:
    """Joins groups and pairs to clusters."""
    pairs = tuple(near)
    links = [(group[0], other) for group in identical for other in group[1:]]
    joined = components([*links, *((pair.first, pair.second) for pair in pairs)])
    name_of = {image_id: members[0] for members in joined for image_id in members}
    of_cluster: defaultdict[str, list[NearDuplicate]] = defaultdict(list)
    for pair in pairs:
        of_cluster[name_of[pair.first]].append(pair)
    clusters = tuple(Cluster(members[0], members, tuple(of_cluster[members[0]])) for members in joined)
    return SamePictures(identical, pairs, clusters)
