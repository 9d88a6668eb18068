"""Groups: the photographs of one patient, of one cluster of duplicates and of one eye, which stay together."""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

from dr_pipeline.components import components
from dr_pipeline.schema import Eye, Role, Split
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
    same_eye: str = ""
    role: Role = Role.ALL


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
    def site(self) -> str:
        """The site of its photographs; of a group with photographs of several, the first by name."""
        return min(photograph.site for photograph in self.photographs)

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
    """Joins photographs by patient, by duplicate cluster and by eye, transitively; sorted by key.

    A photograph of an unknown patient is its own group unless a cluster or an eye joins it to others.

    Args:
        photographs: Those that take part.
        bridges: See `bridges_of`. Two patients who share one photograph or eye may be one person, whether the
            photograph itself is used or not.
    """
    members = sorted(photographs, key=lambda photograph: photograph.image_id)
    links = [(_owner(member), name) for member in members for name in _shared(member)]
    joined = components([*bridges, *links], map(_owner, members))
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
            same_eye=row.same_eye,
            role=row.role,
        )
        for row in rows
        if not row.excluded and row.grade is not None
    ]


def bridges_of(rows: Iterable[ManifestRow]) -> list[tuple[str, str]]:
    """Known patients, each with the duplicate clusters and eyes of which they have a photograph, used or not."""
    return [(_owner(row), name) for row in rows if row.patient_id for name in _shared(row)]


def grouped_with(audited: Sequence[ManifestRow], image_ids: Set[str]) -> set[str]:
    """Photographs of the patients, eyes and copies of these, with a grade or without; these are included.

    They are joined as for the split, but also through photographs that have no grade or are excluded.
    """
    photographs = photographs_of(replace(row, grade=row.grade or 0, excluded=False) for row in audited)
    return {
        photograph.image_id
        for group in group_photographs(photographs, bridges_of(audited))
        if any(photograph.image_id in image_ids for photograph in group.photographs)
        for photograph in group.photographs
    }


def _owner(photograph: Photograph | ManifestRow) -> str:
    known = photograph.patient_id
    return f"patient:{known}" if known else f"photograph:{photograph.image_id}"


def _shared(photograph: Photograph | ManifestRow) -> Iterator[str]:
    """What a photograph may share with those of other patients."""
    if photograph.duplicate_cluster:
        yield f"cluster:{photograph.duplicate_cluster}"
    if photograph.same_eye:
        yield f"eye:{photograph.same_eye}"
