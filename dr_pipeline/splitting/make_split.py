"""The whole split by params.yaml: drawn by shares, official, or by site."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.params.curation import SplitParams
from dr_pipeline.schema import Role, Split
from dr_pipeline.splitting.groups import Group
from dr_pipeline.splitting.predefined import (
    LeftOut,
    in_sites,
    require_official,
    require_sites,
    separate_groups,
    separate_roles,
)
from dr_pipeline.splitting.stratified import TEST, TRAIN, assign_groups, part_shares
from dr_pipeline.tables.splits import DEVELOPMENT, SplitRow

_VALIDATION = "0"  # the one validation part, where there are no folds
_PART_OF = {Role.TEST: TEST, Role.VALIDATION: _VALIDATION, Role.TRAIN: TRAIN}


@dataclass(frozen=True)
class SplitAssignment:
    """The part of each group.

    Attributes:
        groups: Those in a part, without the photographs left out; sorted by key.
        parts: By group: "test", a fold as "0", "1", …, or "train" where it is in every training part.
        shares: Requested share of all photographs, by part; None where the part is predefined.
        left_out: Photographs in no part; sorted.
    """

    groups: tuple[Group, ...]
    parts: Mapping[str, str]
    shares: Mapping[str, float | None]
    left_out: tuple[LeftOut, ...]

    @property
    def drawn(self) -> bool:
        """Whether all parts were drawn, so that their grades must agree; those of predefined parts need not."""
        return None not in self.shares.values()

    @property
    def folds(self) -> list[str]:
        """The validation parts."""
        return [part for part in self.shares if part not in (TEST, TRAIN)]

    def grades_by_part(self) -> dict[str, Counter[int]]:
        """How many photographs of each grade each part has."""
        table: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for group in self.groups:
            table[self.parts[group.key]].update(photograph.grade for photograph in group.photographs)
        return dict(table)


def make_split(groups: Sequence[Group], params: SplitParams) -> SplitAssignment:
    """Assigns groups to test, validation and training parts.

    Sources that are for one part only have their photographs there; those of the others are divided as `params` says.

    Args:
        groups: All of them, in any order.
        params: The section `split`.

    Raises:
        DataError: A photograph has no official part, or no site, where one is needed; or none is left to develop with.
        GateError: A group is on both sides of a predefined part, and `on_group_conflict` is "stop".
        ParamsError: A site is unknown, the shares leave nothing for training, or a source is for validation only and
            there are folds.
    """
    if params.test == "sites":
        require_sites(groups, params.test_sites)
    fixed, others, left_out = separate_roles(groups, on_group_conflict=params.on_group_conflict)
    if not any(fixed.values()):
        return _divided(groups, params)
    if fixed[Role.VALIDATION] and params.validation == "folds":
        raise ParamsError(
            "a source has the role validation, and every fold would be validated on other photographs as well",
            where="split.validation: folds",
            todo="set split.validation to share or official, which make one validation part",
        )
    of_roles = [group for several in fixed.values() for group in several]
    parts = {group.key: _PART_OF[role] for role, several in fixed.items() for group in several}
    predefined: dict[str, float | None] = {_PART_OF[role]: None for role, several in fixed.items() if several}
    divided = _divided(others, params) if others else SplitAssignment((), {}, {}, ())
    parts |= divided.parts
    for part, name in ((TEST, "test"), (_VALIDATION, "validation")):
        if part not in parts.values():
            raise DataError(
                f"no photograph is for {name}: every source has another role",
                where="params.yaml, dataset.sources",
                todo=f"give a source the role all, or one the role {name}",
            )
    of_all = _photographs(others) / (_photographs(others) + _photographs(of_roles))
    drawn = {part: share if share is None else share * of_all for part, share in divided.shares.items()}
    return SplitAssignment(
        groups=tuple(sorted([*divided.groups, *of_roles], key=lambda group: group.key)),
        parts=parts,
        shares=drawn | predefined,
        left_out=tuple(sorted([*left_out, *divided.left_out], key=lambda left: left.image_id)),
    )


def _divided(groups: Sequence[Group], params: SplitParams) -> SplitAssignment:
    """Divides groups whose photographs may be in any part."""
    if params.test == "share" and params.validation != "official":
        return _drawn(groups, params)
    left_out: list[LeftOut] = []
    shares: dict[str, float | None] = {TEST: None}
    if params.test == "share":
        drawn = assign_groups(groups, {TEST: params.test_share, TRAIN: 1 - params.test_share}, params.salt)
        test = [group for group in groups if drawn[group.key] == TEST]
        development = [group for group in groups if drawn[group.key] != TEST]
        shares[TEST] = params.test_share
    else:
        test, development, left_out = _predefined_test(groups, params)
    parts = {group.key: TEST for group in test}
    if not development:
        raise DataError("every photograph is in the test part", where="split", todo="leave some for development")
    if params.validation == "official":
        require_official(development, (Split.TRAIN, Split.VALIDATION), use="split.validation: official")
        validation, training, more = separate_groups(
            development,
            lambda photograph: photograph.official_split == Split.VALIDATION,
            held="validation",
            on_group_conflict=params.on_group_conflict,
        )
        left_out += more
        parts |= {group.key: _VALIDATION for group in validation} | {group.key: TRAIN for group in training}
        shares |= {_VALIDATION: None, TRAIN: None}
        development = [*validation, *training]
    else:
        of_all = _photographs(development) / (_photographs(test) + _photographs(development))
        within = _development_shares(params, of_all)
        parts |= assign_groups(development, within, params.salt)
        shares |= {part: share * of_all for part, share in within.items()}
    used = sorted([*test, *development], key=lambda group: group.key)
    return SplitAssignment(tuple(used), parts, shares, tuple(sorted(left_out, key=lambda left: left.image_id)))


def _drawn(groups: Sequence[Group], params: SplitParams) -> SplitAssignment:
    if params.validation == "folds":
        shares = part_shares(params.test_share, params.num_folds)
    else:
        development = 1 - params.test_share
        within = _development_shares(params, development)
        shares = {TEST: params.test_share} | {part: share * development for part, share in within.items()}
    return SplitAssignment(
        tuple(sorted(groups, key=lambda group: group.key)), assign_groups(groups, shares, params.salt), dict(shares), ()
    )


def _predefined_test(groups: Sequence[Group], params: SplitParams) -> tuple[list[Group], list[Group], list[LeftOut]]:
    if params.test == "sites":
        return separate_groups(
            groups,
            lambda photograph: in_sites(photograph.site, params.test_sites),
            held=TEST,
            on_group_conflict=params.on_group_conflict,
        )
    require_official(groups, tuple(Split), use="split.test: official")
    return separate_groups(
        groups,
        lambda photograph: photograph.official_split == Split.TEST,
        held=TEST,
        on_group_conflict=params.on_group_conflict,
    )


def _development_shares(params: SplitParams, development: float) -> dict[str, float]:
    """Share of each part of the development photographs, which are the share `development` of all."""
    if params.validation == "folds":
        return {str(fold): 1 / params.num_folds for fold in range(params.num_folds)}
    share = params.validation_share / development
    if share >= 1 - 1e-9:
        raise ParamsError(
            f"{params.validation_share:g} of all photographs for validation leaves none for training: "
            f"{development:.3g} are not test",
            where="split.validation_share",
            todo="lower split.validation_share or the test part",
        )
    return {_VALIDATION: share, TRAIN: 1 - share}


def _photographs(groups: Sequence[Group]) -> int:
    return sum(len(group.photographs) for group in groups)


def split_rows(assignment: SplitAssignment) -> list[SplitRow]:
    """The rows of splits.csv, sorted by image_id."""
    rows: list[SplitRow] = []
    for group in assignment.groups:
        part = assignment.parts[group.key]
        rows += group.rows(TEST if part == TEST else DEVELOPMENT, int(part) if part.isdecimal() else None)
    return sorted(rows, key=lambda row: row.image_id)
