"""Nested folds: the outer fold judges, an inner part of the rest chooses the epoch and the cut points."""

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
class Nested:
    """One outer fold and what it is judged by. No group is in two of the parts.

    Attributes:
        fold: From 0.
        training: What the network learns from.
        validation: What chooses the epoch and fits the decision.
        outer: What is predicted once.
    """

    fold: int
    training: tuple[SplitRow, ...]
    validation: tuple[SplitRow, ...]
    outer: tuple[SplitRow, ...]

    @property
    def digest(self) -> str:
        """Hash of who is in which part with which grade."""
        parts = (self.training, self.validation, self.outer)
        return sha256_json([[[row.image_id, row.grade] for row in part] for part in parts])


def division_digest(folds: Sequence[Nested]) -> str:
    """Hash of the whole division: the same for all arms, another one with other folds, photographs or grades."""
    return sha256_json([nested.digest for nested in folds])


def photographs_to_divide(audited: Sequence[ManifestRow], splits: Sequence[SplitRow] | None) -> list[Photograph]:
    """Every photograph with a grade that is not excluded; without the test part, where a split is given.

    Args:
        audited: Rows of the audited manifest.
        splits: Rows of splits.csv; None takes all photographs.

    Raises:
        DataError: None is left.
    """
    photographs = photographs_of(audited)
    if splits is not None:
        kept = {row.image_id for row in splits if row.split == DEVELOPMENT}
        photographs = [one for one in photographs if one.image_id in kept]
    if not photographs:
        raise DataError(
            "no photograph is left that has a grade and is not excluded",
            where="the audited manifest",
            todo="read reports/audit.json for what was excluded, reports/intake.json for what has no grade",
        )
    return photographs


def nested_folds(groups: Sequence[Group], num_folds: int, salt: str) -> list[Nested]:
    """Divides all groups into outer folds, and the rest of each into training and validation.

    Both divisions are drawn as the pipeline's own split is: by group and salted hash, each stratum of the worse eye
    shared out exactly. Every arm gets these same folds.

    Args:
        groups: In any order.
        num_folds: Outer folds, 2 or more.
        salt: Another salt gives another division.

    Raises:
        DataError: A part is empty, a validation part has one grade only, or a fold is judged on a grade that its
            training part has no photograph of.
        ParamsError: There are fewer than 2 folds.
    """
    if num_folds < 2:
        raise ParamsError(f"{num_folds} outer fold(s)", where="--folds", todo="use 2 or more")
    outer = assign_groups(groups, {str(fold): 1 / num_folds for fold in range(num_folds)}, f"{salt}/experiments")
    return [_nested(groups, outer, fold, salt) for fold in range(num_folds)]


def _nested(groups: Sequence[Group], outer: dict[str, str], fold: int, salt: str) -> Nested:
    rest = [group for group in groups if outer[group.key] != str(fold)]
    shares = {_VALIDATION: _VALIDATION_SHARE, TRAIN: 1 - _VALIDATION_SHARE}
    inner = assign_groups(rest, shares, f"{salt}/experiments/inner {fold}")
    nested = Nested(
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
    learnt = {row.grade for row in nested.training}
    judged = {row.grade for row in (*nested.outer, *nested.validation)}
    if missing := [grade for grade in GRADES if grade in judged - learnt]:
        raise DataError(
            f"fold {fold} has no photograph of grade {', '.join(map(str, missing))} to learn from",
            where="--folds",
            todo="use fewer folds, or add photographs of that grade",
        )
    return nested


def _rows(groups: Iterable[Group], fold: int | None) -> tuple[SplitRow, ...]:
    """The photographs as rows of a split, sorted by image_id."""
    rows = [row for group in groups for row in group.rows(DEVELOPMENT, fold)]
    return tuple(sorted(rows, key=lambda row: row.image_id))
