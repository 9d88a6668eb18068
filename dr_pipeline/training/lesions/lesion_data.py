"""The photographs that train one network, and the check that they can."""

from dataclasses import dataclass

from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_file
from dr_pipeline.lesions.kinds import KINDS, Kind
from dr_pipeline.training.lesions.graded import GradedPhotographs, Grades
from dr_pipeline.training.lesions.tiles import AnnotatedCanvases


@dataclass(frozen=True)
class LesionData:
    """What a network is trained on.

    Attributes:
        store: The canvases.
        image_ids: Of the training photographs.
        kinds: Outputs of the network, in order.
        identity: Hash of the canvases and masks, for the checkpoint's key.
        graded: Photographs with grades, which the encoder learns as well; None: lesions alone.
    """

    store: AnnotatedCanvases
    image_ids: tuple[str, ...]
    kinds: tuple[Kind, ...]
    identity: str
    graded: GradedPhotographs | None = None


def annotated_kinds(store: LesionStore) -> tuple[Kind, ...]:
    """The kinds that were annotated in one photograph or more, in the order of `KINDS`."""
    annotated = {name for row in store.rows.values() for name in row.labelled_kinds}
    return tuple(kind for kind in KINDS if kind.name in annotated)


def lesion_data(
    store: LesionStore, kinds: tuple[Kind, ...], fold: int | None, grades: Grades | None = None
) -> LesionData:
    """The photographs outside a fold; None: all of them.

    Args:
        store: The canvases.
        kinds: To learn.
        fold: That is left out.
        grades: What is learned as well, see `Grades.beside`.

    Raises:
        DataError: There are none, or none of them shows one of the kinds, which could then not be learned; or grades
            cannot be learned beside them.
        ParamsError: The graded canvases are of another pixel path.
    """
    rows = [row for row in store.rows.values() if row.fold != fold]
    where = f"{store.index_path}, fold {fold}" if fold is not None else str(store.index_path)
    shown = {name for row in rows for name, pixels in row.pixels_of.items() if pixels}
    annotated = {name for row in rows for name in row.labelled_kinds}
    if missing := [kind.name for kind in kinds if kind.name not in shown]:
        names = ", ".join(
            f"{name} ({'annotated, none found' if name in annotated else 'not annotated'})" for name in missing
        )
        raise DataError(
            f"none of {len(rows)} training photographs shows {names}",
            where=where,
            todo="leave it out of lesions.NAME.data.kinds in params.yaml, use fewer folds, or add photographs",
        )
    graded = None if grades is None else grades.beside(store, fold)
    return LesionData(store, tuple(row.image_id for row in rows), kinds, sha256_file(store.index_path), graded)
