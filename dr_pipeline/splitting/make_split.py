"""The whole division, as params.yaml asks for it: drawn by shares, official, or by site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.params.curation import SplitParams
from dr_pipeline.schema import Split
from dr_pipeline.splitting.groups import Group
from dr_pipeline.splitting.predefined import LeftOut, require_official, require_sites, separate
from dr_pipeline.splitting.stratified import TEST, TRAIN, assign, part_shares
from dr_pipeline.tables.splits import DEVELOPMENT, SplitRow

_VALIDATION = "0"  # the one validation part, where there are no folds


@dataclass(frozen=True)
class Division:
    """Who is in which part.

    Attributes:
        groups: Those that are in a part, without the photographs left out; sorted by key.
        parts: By group: "test", a fold as "0", "1", …, or "train" where it is in every training part.
        shares: Share of all photographs asked for, by part; None where the part was given.
        left_out: Photographs in no part; sorted.
    """

    groups: tuple[Group, ...]
    parts: Mapping[str, str]
    shares: Mapping[str, float | None]
    left_out: tuple[LeftOut, ...]

    @property
    def drawn(self) -> bool:
        """Whether all parts were drawn, so that they must be alike; given parts need not be."""
        return None not in self.shares.values()


def divide(groups: Sequence[Group], params: SplitParams) -> Division:
    """Divides groups into test, validation and training parts.

    Args:
        groups: All of them, in any order.
        params: The section `split`.

    Raises:
        DataError: A photograph has no official part, or no site, where one is needed; or none is left to develop with.
        GateError: A group lies on both sides of a given boundary, and `on_group_conflict` is "stop".
        ParamsError: A site is unknown, or the shares leave nothing for training.
    """
    if params.test == "share" and params.validation != "official":
        return _drawn(groups, params)
    left_out: list[LeftOut] = []
    shares: dict[str, float | None] = {TEST: None}
    if params.test == "share":
        drawn = assign(groups, {TEST: params.test_share, TRAIN: 1 - params.test_share}, params.salt)
        test = [group for group in groups if drawn[group.key] == TEST]
        development = [group for group in groups if drawn[group.key] != TEST]
        shares[TEST] = params.test_share
    else:
        test, development, left_out = _given_test(groups, params)
    parts = {group.key: TEST for group in test}
    if not development:
        raise DataError("every photograph is in the test part", where="split", todo="leave some for development")
    if params.validation == "official":
        require_official(development, (Split.TRAIN, Split.VALIDATION), use="split.validation: official")
        validation, training, more = separate(
            development,
            lambda photograph: photograph.official_split == Split.VALIDATION,
            held="validation",
            straddling=params.on_group_conflict,
        )
        left_out += more
        parts |= {group.key: _VALIDATION for group in validation} | {group.key: TRAIN for group in training}
        shares |= {_VALIDATION: None, TRAIN: None}
        development = [*validation, *training]
    else:
        of_all = _photographs(development) / (_photographs(test) + _photographs(development))
        within = _development_shares(params, of_all)
        parts |= assign(development, within, params.salt)
        shares |= {part: share * of_all for part, share in within.items()}
    kept = sorted([*test, *development], key=lambda group: group.key)
    return Division(tuple(kept), parts, shares, tuple(sorted(left_out, key=lambda left: left.image_id)))


def _drawn(groups: Sequence[Group], params: SplitParams) -> Division:
    if params.validation == "folds":
        shares = part_shares(params.test_share, params.num_folds)
    else:
        development = 1 - params.test_share
        within = _development_shares(params, development)
        shares = {TEST: params.test_share} | {part: share * development for part, share in within.items()}
    return Division(
        tuple(sorted(groups, key=lambda group: group.key)), assign(groups, shares, params.salt), dict(shares), ()
    )


def _given_test(groups: Sequence[Group], params: SplitParams) -> tuple[list[Group], list[Group], list[LeftOut]]:
    if params.test == "sites":
        require_sites(groups, params.test_sites)
        held_sites = frozenset(params.test_sites)
        return separate(
            groups, lambda photograph: photograph.site in held_sites, held=TEST, straddling=params.on_group_conflict
        )
    require_official(groups, tuple(Split), use="split.test: official")
    return separate(
        groups,
        lambda photograph: photograph.official_split == Split.TEST,
        held=TEST,
        straddling=params.on_group_conflict,
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


def split_rows(groups: Sequence[Group], parts: Mapping[str, str]) -> list[SplitRow]:
    """The rows of splits.csv, sorted by image_id.

    Args:
        groups: Those in a part.
        parts: By group: "test", a fold as "0", "1", …, or "train" where it is in every training part.
    """
    rows: list[SplitRow] = []
    for group in groups:
        part = parts[group.key]
        rows += group.rows(TEST if part == TEST else DEVELOPMENT, int(part) if part.isdecimal() else None)
    return sorted(rows, key=lambda row: row.image_id)
