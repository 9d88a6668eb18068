"""Groups: the photographs of one patient and of one cluster of duplicates, which stay together."""

from collections.abc import Iterable
from dataclasses import dataclass

from dr_pipeline.components import components
from dr_pipeline.schema import Eye, Split
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.splits import SplitRow


@dataclass(frozen=True)
class Photograph:
    """The columns of the manifest that a split depends on; empty: unknown or none."""

    image_id: str
    patient_id: str
    duplicate_cluster: str
    grade: int
    eye: Eye = Eye.UNKNOWN
    visit: str = ""
    site: str = ""
    official_split: Split | None = None
    perceptual_hash: str = ""


@dataclass(frozen=True)
class Group:
    """Photographs that are never divided between parts.

    Attributes:
        key: The smallest name among its patients (or photographs of unknown patients). It depends neither on the
            order of the file nor on the clusters' names, so that it is stable when others are added or removed.
        photographs: Sorted by image_id.
    """

    key: str
    photographs: tuple[Photograph, ...]

    @property
    def worst_grade(self) -> int:
        """The grade of the worse eye: what the split is stratified by."""
        return max(photograph.grade for photograph in self.photographs)

    def rows(self, split: str, fold: int | None) -> list[SplitRow]:
        """Its photographs as rows of a split."""
        return [
            SplitRow(
                image_id=photograph.image_id,
                patient_id=photograph.patient_id,
                eye=photograph.eye,
                visit=photograph.visit,
                site=photograph.site,
                duplicate_cluster=photograph.duplicate_cluster,
                group=self.key,
                grade=photograph.grade,
                split=split,
                fold=fold,
            )
            for photograph in self.photographs
        ]


def group_photographs(photographs: Iterable[Photograph], bridges: Iterable[tuple[str, str]] = ()) -> list[Group]:
    """Joins photographs by patient and by duplicate cluster, transitively; sorted by key.

    A photograph of an unknown patient is its own group unless a cluster joins it to others.

    Args:
        photographs: Those that take part.
        bridges: Patient and duplicate cluster of all photographs. Two patients who share one photograph may be one
            person, whether the photograph itself is used or not.
    """
    members = sorted(photographs, key=lambda photograph: photograph.image_id)
    links = [(f"patient:{patient_id}", f"cluster:{cluster}") for patient_id, cluster in bridges]
    links += [(_owner(member), f"cluster:{member.duplicate_cluster}") for member in members if member.duplicate_cluster]
    joined = components(links, map(_owner, members))
    number_of = {name: number for number, names in enumerate(joined) for name in names}
    together: dict[int, list[Photograph]] = {}
    for photograph in members:
        together.setdefault(number_of[_owner(photograph)], []).append(photograph)
    groups = [Group(min(map(_owner, several)), tuple(several)) for several in together.values()]
    return sorted(groups, key=lambda group: group.key)


def photographs_of(rows: Iterable[ManifestRow]) -> list[Photograph]:
    """The photographs that take part in a split: not excluded, and with a grade."""
    return [
        Photograph(
            image_id=row.image_id,
            patient_id=row.patient_id,
            duplicate_cluster=row.duplicate_cluster,
            grade=row.grade,
            eye=row.eye,
            visit=row.visit,
            site=row.site,
            official_split=row.official_split,
            perceptual_hash=row.perceptual_hash,
        )
        for row in rows
        if not row.excluded and row.grade is not None
    ]


def bridges_of(rows: Iterable[ManifestRow]) -> list[tuple[str, str]]:
    """Known patients and the duplicate clusters they have a photograph in, used or not."""
    return [(row.patient_id, row.duplicate_cluster) for row in rows if row.patient_id and row.duplicate_cluster]


def _owner(photograph: Photograph) -> str:
    known = photograph.patient_id
    return f"patient:{known}" if known else f"photograph:{photograph.image_id}"
