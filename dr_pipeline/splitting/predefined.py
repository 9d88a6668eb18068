"""Predefined parts: the official split of a data set's authors, held-out sites, and sources with a role."""

import difflib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from dr_pipeline.errors import DataError, GateError, ParamsError
from dr_pipeline.schema import Role, Split
from dr_pipeline.splitting.groups import Group, Photograph

_MAX_NAMED = 20
# Of two roles in one group, the one that is kept where the other is left out: figures before training.
_ROLES = (Role.TEST, Role.VALIDATION, Role.TRAIN)


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


def separate_roles(
    groups: Sequence[Group], *, on_group_conflict: Literal["stop", "leave_out"]
) -> tuple[dict[Role, list[Group]], list[Group], list[LeftOut]]:
    """Separates the groups of sources that are for one part only.

    A photograph of another source that is in such a group (the same person, or a copy) joins that part.

    Args:
        groups: In any order.
        on_group_conflict: For a group with two such roles: an error, or only its test photographs are kept (else those
            of validation).

    Returns:
        The groups of each of the roles test, validation and train; the others; the photographs left out.

    Raises:
        GateError: A group has two roles, and `on_group_conflict` is "stop".
    """
    fixed: dict[Role, list[Group]] = {role: [] for role in _ROLES}
    others: list[Group] = []
    conflicts: list[str] = []
    left_out: list[LeftOut] = []
    for group in groups:
        present = {photograph.role for photograph in group.photographs}
        roles = [role for role in _ROLES if role in present]
        if not roles:
            others.append(group)
            continue
        kept = tuple(one for one in group.photographs if one.role in (roles[0], Role.ALL))
        fixed[roles[0]].append(Group(group.key, kept))
        if len(roles) > 1:
            conflicts.append(group.photographs[0].image_id)
            reason = f"its group has photographs of a source with the role {roles[0]}"
            left_out += [LeftOut(one.image_id, reason) for one in group.photographs if one not in kept]
    if conflicts and on_group_conflict == "stop":
        raise GateError(
            f"{len(conflicts)} group(s) of one patient or one photograph are in sources with different roles; the "
            f"first photograph of each: {listed(conflicts)}",
            where="split.on_group_conflict",
            todo="change a role; or set split.on_group_conflict to leave_out, which keeps only their photographs of "
            "the test source (else of the validation source)",
        )
    return fixed, others, left_out


def in_sites(site: str, names: Collection[str]) -> bool:
    """Whether a site is one of those named, or a part of one: `lab/north` is in `lab`."""
    return any(site == name or site.startswith(f"{name}/") for name in names)


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
        if not any(in_sites(site, [name]) for site in known):
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise ParamsError(
                f"there is no site {name!r}" + (f"; the closest one is {close[0]!r}" if close else ""),
                where="split.test_sites",
                todo=f"name one or more of {listed(known)}" if known else "the tables name no site",
            )
    if all(in_sites(site, test_sites) for site in known):
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
