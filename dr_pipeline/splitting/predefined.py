"""Predefined parts: the official split of a data set's authors, and held-out sites."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from dr_pipeline.errors import DataError, GateError, ParamsError
from dr_pipeline.schema import Split
from dr_pipeline.splitting.groups import Group, Photograph

_MAX_NAMED = 20


@dataclass(frozen=True)
class LeftOut:
    """A photograph in no part: its group is on both sides of a predefined part, and the other side is kept."""

    image_id: str
    reason: str


def separate_groups(
    groups: Sequence[Group],
    is_held: Callable[[Photograph], bool],
    *,
    held: str,
    on_group_conflict: Literal["stop", "leave_out"],
) -> tuple[list[Group], list[Group], list[LeftOut]]:
    """Separates held-out groups from the others.

    Args:
        groups: In any order.
        is_held: Whether a photograph is held out.
        held: Name of the held-out part.
        on_group_conflict: For a group on both sides: an error, or only its held-out photographs are kept.

    Returns:
        The held-out groups, the others, and the photographs left out.

    Raises:
        GateError: Groups are on both sides, and `on_group_conflict` is "stop".
    """
    inside: list[Group] = []
    outside: list[Group] = []
    both: list[Group] = []
    for group in groups:
        sides = {is_held(photograph) for photograph in group.photographs}
        (both if len(sides) == 2 else inside if True in sides else outside).append(group)
    if both and on_group_conflict == "stop":
        raise GateError(
            f"{len(both)} group(s) of one patient or one photograph lie on both sides of the {held} part; "
            f"the first photograph of each: {listed([group.photographs[0].image_id for group in both])}",
            where="split.on_group_conflict",
            todo="correct the patients or parts in the tables; or set split.on_group_conflict to leave_out, which "
            f"keeps only their photographs in the {held} part",
        )
    left_out = [
        LeftOut(photograph.image_id, f"its group has photographs in the {held} part")
        for group in both
        for photograph in group.photographs
        if not is_held(photograph)
    ]
    inside += [Group(group.key, tuple(filter(is_held, group.photographs))) for group in both]
    return sorted(inside, key=lambda group: group.key), outside, left_out


def require_official(groups: Sequence[Group], allowed: Sequence[Split], *, use: str) -> None:
    """Refuses photographs whose official part is not one of those required.

    Args:
        groups: Whose photographs must have a part.
        allowed: Parts they may have.
        use: The parameter that requires them.

    Raises:
        DataError: Names the photographs.
    """
    wrong = [
        f"{photograph.image_id} ({photograph.official_split or 'none'})"
        for group in groups
        for photograph in group.photographs
        if photograph.official_split not in allowed
    ]
    if wrong:
        raise DataError(
            f"{len(wrong)} photograph(s) whose official part is none of {', '.join(allowed)}: {listed(wrong)}",
            where=use,
            todo="complete the data set's own split, exclude these photographs, or let the part be drawn (share)",
        )


def require_sites(groups: Sequence[Group], test_sites: Sequence[str]) -> None:
    """Refuses sites that are not in the data, and photographs of unknown sites.

    Raises:
        ParamsError: No site is named, one is unknown, or every site is named.
        DataError: A photograph's site is not known, so that it may be a held-out one.
    """
    photographs = [photograph for group in groups for photograph in group.photographs]
    known = sorted({photograph.site for photograph in photographs if photograph.site})
    if not test_sites:
        raise ParamsError("no site is named", where="split.test_sites", todo=f"name one or more of {listed(known)}")
    for name in test_sites:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise ParamsError(
                f"there is no site {name!r}" + (f"; the closest one is {close[0]!r}" if close else ""),
                where="split.test_sites",
                todo=f"name one or more of {listed(known)}" if known else "the tables name no site",
            )
    if set(test_sites) >= set(known):
        raise ParamsError("every site is held out", where="split.test_sites", todo="leave one for development")
    nowhere = [photograph.image_id for photograph in photographs if not photograph.site]
    if nowhere:
        raise DataError(
            f"{len(nowhere)} photograph(s) of unknown sites, which may be the held-out ones: {listed(nowhere)}",
            where="split.test: sites",
            todo="complete the sites, or exclude these photographs",
        )


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
