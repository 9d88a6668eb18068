"""Nested folds: the outer fold is predicted once; an inner part of the rest chooses the epoch and the cut points."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import sha256_json
from dr_pipeline.schema import GRADES
from dr_pipeline.splitting.groups import Group, Photograph, photographs_of
from dr_pipeline.splitting.stratified import TRAIN, assign_groups
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.splits import DEVELOPMENT, SplitRow

_VALIDATION = "validation"
_VALIDATION_SHARE = 0.2  # of what is not the outer fold


@dataclass(frozen=True)
class NestedFold:
    """One outer fold with its training and validation part. No group is in two of the parts.

    Attributes:
        fold: Number of the outer fold, from 0.
        training: The training part.
        validation: The part that chooses the epoch and fits the decision.
        outer: The outer fold, predicted once.
    """

    fold: int
    training: tuple[SplitRow, ...]
    validation: tuple[SplitRow, ...]
    outer: tuple[SplitRow, ...]

    @property
    def digest(self) -> str:
        """Hash of the photographs and grades of each part."""
        parts = (self.training, self.validation, self.outer)
        return sha256_json([[[row.image_id, row.grade] for row in part] for part in parts])


def folds_digest(folds: Sequence[NestedFold]) -> str:
    """Hash of all folds: the same for all arms, another one with other folds, photographs or grades."""
    return sha256_json([nested.digest for nested in folds])


def eligible_photographs(audited: Sequence[ManifestRow], splits: Sequence[SplitRow] | None) -> list[Photograph]:
    """The photographs with a grade that are not excluded; without the test part, where a split is given.

    Args:
        audited: Rows of the audited manifest.
        splits: Rows of splits.csv; None takes all photographs.

    Raises:
        DataError: No photograph is left.
    """
    photographs = photographs_of(audited)
    if splits is not None:
        development = {row.image_id for row in splits if row.split == DEVELOPMENT}
        photographs = [photograph for photograph in photographs if photograph.image_id in development]
    if not photographs:
        raise DataError(
            "no photograph is left that has a grade and is not excluded",
            where="the audited manifest",
            todo="read reports/audit.json for what was excluded, reports/intake.json for what has no grade",
        )
    return photographs


def nested_folds(groups: Sequence[Group], num_folds: int, salt: str) -> list[NestedFold]:
    """Splits all groups into outer folds, and the rest of each into training and validation.

    Both are drawn as the pipeline's own split: by group and salted hash, stratified by the grade of the worse eye.
    Every arm gets the same folds.

    Args:
        groups: In any order.
        num_folds: Outer folds, 2 or more.
        salt: Another salt gives other folds.

    Raises:
        DataError: A part is empty, a validation part has one grade only, or a fold has a grade that its
            training part lacks.
        ParamsError: There are fewer than 2 folds.
    """
    if num_folds < 2:
        raise ParamsError(f"{num_folds} outer fold(s)", where="--folds", todo="use 2 or more")
    outer = assign_groups(groups, {str(fold): 1 / num_folds for fold in range(num_folds)}, f"{salt}/experiments")
    return [_nested(groups, outer, fold, salt) for fold in range(num_folds)]


def _nested(groups: Sequence[Group], outer: dict[str, str], fold: int, salt: str) -> NestedFold:
    rest = [group for group in groups if outer[group.key] != str(fold)]
    shares = {_VALIDATION: _VALIDATION_SHARE, TRAIN: 1 - _VALIDATION_SHARE}
    inner = assign_groups(rest, shares, f"{salt}/experiments/inner {fold}")
    nested = NestedFold(
        fold=fold,
        training=_rows((group for group in rest if inner[group.key] == TRAIN), None),
        validation=_rows((group for group in rest if inner[group.key] == _VALIDATION), fold),
        outer=_rows((group for group in groups if outer[group.key] == str(fold)), fold),
    )
    for name, part in (("training", nested.training), ("validation", nested.validation), ("outer", nested.outer)):
        if not part:
            raise DataError(
                f"the {name} part of fold {fold} is empty", where="--folds", todo="use fewer folds or more photographs"
            )
    if len({row.grade for row in nested.validation}) == 1:
        raise DataError(
            f"all validation photographs of fold {fold} have one grade, so that no epoch can be chosen",
            where="--folds",
            todo="use fewer folds, or add photographs of other grades",
        )
    trained = {row.grade for row in nested.training}
    evaluated = {row.grade for row in (*nested.outer, *nested.validation)}
    if missing := [grade for grade in GRADES if grade in evaluated - trained]:
        raise DataError(
            f"fold {fold} has no photograph of grade {', '.join(map(str, missing))} in its training part",
            where="--folds",
            todo="use fewer folds, or add photographs of that grade",
        )
    return nested


def _rows(groups: Iterable[Group], fold: int | None) -> tuple[SplitRow, ...]:
    """The photographs as rows of a split, sorted by image_id."""
    rows = [row for group in groups for row in group.rows(DEVELOPMENT, fold)]
    return tuple(sorted(rows, key=lambda row: row.image_id))
