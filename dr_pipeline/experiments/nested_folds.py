"""Nested folds: the outer fold is predicted once; an inner part of the rest chooses the epoch and the cut points.

Outer folds are drawn, or they are sites: all but one to that one, or one to all others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import sha256_json
from dr_pipeline.logs import logger
from dr_pipeline.schema import GRADES, Role
from dr_pipeline.splitting.groups import Group, Photograph, photographs_of
from dr_pipeline.splitting.predefined import in_sites, listed, separate_groups, separate_roles
from dr_pipeline.splitting.stratified import TRAIN, assign_groups
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.splits import DEVELOPMENT, SplitRow

_VALIDATION = "validation"
_VALIDATION_SHARE = 0.2  # of what is not the outer fold
LEAVE_ONE_SITE_OUT, ONE_SITE_TO_REST = "leave_one_site_out", "one_site_to_rest"
_HELD_OUT = (Role.ALL, Role.TEST)
Protocol = Literal["folds", "leave_one_site_out", "one_site_to_rest"]


@dataclass(frozen=True)
class NestedFold:
    """One outer fold with its training and validation part. No group is in two of the parts.

    Attributes:
        fold: Number of the outer fold, from 0.
        training: The training part.
        validation: The part that chooses the epoch and fits the decision.
        outer: The outer fold, predicted once.
        site: The site held out, or the one trained on; empty where folds are drawn.
    """

    fold: int
    training: tuple[SplitRow, ...]
    validation: tuple[SplitRow, ...]
    outer: tuple[SplitRow, ...]
    site: str = ""

    @property
    def digest(self) -> str:
        """Hash of the photographs, grades and sites of each part."""
        parts = (self.training, self.validation, self.outer)
        return sha256_json([[[row.image_id, row.grade, row.site] for row in part] for part in parts])


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


def with_test_only(photographs: Sequence[Photograph], sites: Sequence[str]) -> list[Photograph]:
    """The photographs, those of some sites with the role test.

    Raises:
        ParamsError: There is no such site.
    """
    known = sorted({photograph.site for photograph in photographs if photograph.site})
    if unknown := [name for name in sites if not any(in_sites(site, [name]) for site in known)]:
        raise ParamsError(
            f"there is no site {unknown[0]!r}", where="--test-only", todo=f"name one or more of {listed(known)}"
        )
    return [
        replace(photograph, role=Role.TEST) if in_sites(photograph.site, sites) else photograph
        for photograph in photographs
    ]


def nested_folds(groups: Sequence[Group], num_folds: int, salt: str) -> list[NestedFold]:
    """Splits all groups into outer folds, and the rest of each into training and validation.

    Both are drawn as the pipeline's own split: by group and salted hash, stratified by the grade of the worse eye.
    Every arm gets the same folds. Sources that are for training or validation only are there in each of them.

    Args:
        groups: In any order.
        num_folds: Outer folds, 2 or more.
        salt: Another salt gives other folds.

    Raises:
        DataError: There are more folds than groups, a part is empty, a validation part has one grade only, or a fold
            has a grade that its training part lacks.
        ParamsError: There are fewer than 2 folds.
    """
    if num_folds < 2:
        raise ParamsError(f"{num_folds} outer fold(s)", where="--folds", todo="use 2 or more")
    fixed, drawn, _ = separate_roles(groups, on_group_conflict="leave_out")
    if fixed[Role.TEST]:
        logger.warning("%d group(s) of sources with the role test take no part", len(fixed[Role.TEST]))
    if num_folds > len(drawn):
        raise DataError(
            f"{num_folds} outer folds for {len(drawn)} groups of photographs",
            where="--folds",
            todo="use fewer folds, or add photographs",
        )
    outer = assign_groups(drawn, {str(fold): 1 / num_folds for fold in range(num_folds)}, f"{salt}/experiments")
    development = [*fixed[Role.TRAIN], *fixed[Role.VALIDATION]]
    return [
        _nested(
            [*(group for group in drawn if outer[group.key] != str(fold)), *development],
            [group for group in drawn if outer[group.key] == str(fold)],
            fold,
            salt,
        )
        for fold in range(num_folds)
    ]


def site_folds(groups: Sequence[Group], protocol: Protocol, salt: str) -> list[NestedFold]:
    """An outer fold for each site, by name: the two protocols of GDRBench (Che et al., MICCAI 2023).

    `leave_one_site_out` holds out one site and trains on all others; `one_site_to_rest` trains on one and holds out all
    others. A group with photographs on both sides keeps those held out; the others take no part in that fold.

    Sources with the role test are held out only, those with train or validation are never held out.

    Args:
        groups: In any order.
        protocol: Which of the two.
        salt: Another salt draws other inner parts.

    Raises:
        DataError: A photograph has no site, a part is empty, a validation part has one grade only, or has a grade that
            its training part lacks.
        ParamsError: There are fewer than two sites to hold out, or none to train on.
    """
    photographs = [photograph for group in groups for photograph in group.photographs]
    if nowhere := [photograph.image_id for photograph in photographs if not photograph.site]:
        raise DataError(
            f"{len(nowhere)} photograph(s) of unknown sites: {listed(nowhere)}",
            where=protocol,
            todo="complete the sites in the label table, or read each site's folder as a source of its own "
            "(dataset.sources)",
        )
    roles = (Role.ALL, Role.TRAIN) if protocol == ONE_SITE_TO_REST else (Role.ALL, Role.TEST)
    sites = sorted({photograph.site for photograph in photographs if photograph.role in roles})
    if len({photograph.site for photograph in photographs}) < 2 or not sites:
        raise ParamsError(
            "two sites are needed, of which one may be "
            + ("trained on" if protocol == ONE_SITE_TO_REST else "held out")
            + f"; found {listed(sorted({photograph.site for photograph in photographs}))}",
            where=protocol,
            todo="add sources (dataset.sources), name the column of the sites (dataset.folder.columns.site), or change "
            "a source's role",
        )
    return [_site_fold(groups, protocol, site, number, salt) for number, site in enumerate(sites)]


def _site_fold(groups: Sequence[Group], protocol: Protocol, site: str, fold: int, salt: str) -> NestedFold:
    held, rest, left_out = separate_groups(
        groups,
        lambda photograph: (photograph.site == site) == (protocol == LEAVE_ONE_SITE_OUT),
        held="outer",
        on_group_conflict="leave_out",
    )
    if left_out:
        names = listed([left.image_id for left in left_out])
        logger.warning(
            "%s, %s: not trained on, since a copy or the same person is held out: %d photograph(s), %s",
            protocol,
            site,
            len(left_out),
            names,
        )
    outer = [Group(group.key, tuple(one for one in group.photographs if one.role in _HELD_OUT)) for group in held]
    if protocol == ONE_SITE_TO_REST:  # its validation part is drawn from a source for training, too
        rest = [_without_role(group, Role.TRAIN) for group in rest]
    nested = _nested(rest, outer, fold, salt, site)
    if unseen := sorted({row.grade for row in nested.outer} - {row.grade for row in nested.training}):
        logger.warning(
            "%s, %s: held-out photographs of grade %s, of which the training part has none",
            protocol,
            site,
            ", ".join(map(str, unseen)),
        )
    return nested


def _without_role(group: Group, role: Role) -> Group:
    photographs = (replace(one, role=Role.ALL) if one.role == role else one for one in group.photographs)
    return Group(group.key, tuple(photographs))


def _nested(rest: Sequence[Group], outer: Sequence[Group], fold: int, salt: str, site: str = "") -> NestedFold:
    """Divides the rest into training and validation; sources with one of these roles have their photographs there."""
    fixed, drawn, _ = separate_roles(rest, on_group_conflict="leave_out")
    shares = {_VALIDATION: _VALIDATION_SHARE, TRAIN: 1 - _VALIDATION_SHARE}
    inner = assign_groups(drawn, shares, f"{salt}/experiments/inner {site or fold}")
    nested = NestedFold(
        fold=fold,
        training=_rows([*(group for group in drawn if inner[group.key] == TRAIN), *fixed[Role.TRAIN]], None),
        validation=_rows(
            [*(group for group in drawn if inner[group.key] == _VALIDATION), *fixed[Role.VALIDATION]], fold
        ),
        outer=_rows(outer, fold),
        site=site,
    )
    which = f"the site {site!r}" if site else f"fold {fold}"
    where = "dataset.sources" if site else "--folds"
    todo = "give a small site's source the role train or test, or add" if site else "use fewer folds, or add"
    for name, part in (("training", nested.training), ("validation", nested.validation), ("outer", nested.outer)):
        if not part:
            raise DataError(f"the {name} part of {which} is empty", where=where, todo=f"{todo} photographs")
    if len({row.grade for row in nested.validation}) == 1:
        raise DataError(
            f"all validation photographs of {which} have one grade, so that no epoch can be chosen",
            where=where,
            todo=f"{todo} photographs of other grades",
        )
    trained = {row.grade for row in nested.training}
    evaluated = {row.grade for row in (*(() if site else nested.outer), *nested.validation)}
    if missing := [grade for grade in GRADES if grade in evaluated - trained]:
        raise DataError(
            f"{which} has no photograph of grade {', '.join(map(str, missing))} in its training part",
            where=where,
            todo=f"{todo} photographs of that grade",
        )
    return nested


def _rows(groups: Iterable[Group], fold: int | None) -> tuple[SplitRow, ...]:
    """The photographs as rows of a split, sorted by image_id."""
    rows = [row for group in groups for row in group.rows(DEVELOPMENT, fold)]
    return tuple(sorted(rows, key=lambda row: row.image_id))
