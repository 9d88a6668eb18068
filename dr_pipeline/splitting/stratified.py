"""Stratified assignment of groups: exact shares per grade of the worse eye, and within it per site, by salted hash."""

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from dr_pipeline.splitting.groups import Group
from dr_pipeline.splitting.hash_draw import costs, hash_draw

TEST = "test"
TRAIN = "train"
_REST = "rest"
# At most this many parts are drawn at once. With more, the test part is drawn first and then the others: every pair of
# parts has a boundary that shifts, and this leaves the test part only one (benchmarks/splits.py).
_DRAWN_AT_ONCE = 4
# Groups are exchanged where a part's share of photographs deviates by more than this. The training part is the rest,
# so that its share deviates by at most twice as much: within the 3 points required.
_SHARE_TOLERANCE = 0.015

# Groups that are interchangeable: part, grade of the worse eye, number of photographs.
_Kind = tuple[str, int, int]


def part_shares(test_share: float, num_folds: int) -> dict[str, float]:
    """The share of each part: "test", then the folds "0", "1", … with equal shares of the rest."""
    return {TEST: test_share} | {str(fold): (1 - test_share) / num_folds for fold in range(num_folds)}


def assign_groups(groups: Sequence[Group], shares: Mapping[str, float], salt: str) -> dict[str, str]:
    """Assigns groups to parts.

    Args:
        groups: In any order.
        shares: Share of each part, above 0; they add up to 1.
        salt: Another salt gives another assignment.

    Returns:
        The part of each group, by its key. Of every grade of the worse eye each part has the ideal number of groups,
        rounded down or up; within a grade each site that has a group for every part has its share of them as well.
    """
    strata: dict[int, list[Group]] = defaultdict(list)
    for group in groups:
        strata[group.worst_grade].append(group)
    parts: dict[str, str] = {}
    carried = dict.fromkeys(shares, 0.0)
    for grade in sorted(strata, reverse=True):
        free = apportion(len(strata[grade]), shares, carried)
        for keys in _by_site(strata[grade], least=len(shares)):
            seats = _share_of(free, len(keys))
            parts |= _draw(keys, seats, shares, salt)
            free = {part: free[part] - seats[part] for part in free}
    _balance_photographs(groups, shares, parts, salt)
    return parts


def apportion(count: int, shares: Mapping[str, float], carried: dict[str, float]) -> dict[str, int]:
    """Seats of each part among `count` groups: its ideal number, rounded down or up.

    Which parts are rounded up depends on the rounding errors so far, so that totals are exact too.

    Args:
        count: Groups to assign.
        shares: Share of each part.
        carried: Seats that each part lacks from earlier strata; updated.
    """
    ideal = {part: share * count for part, share in shares.items()}
    seats = {part: math.floor(value + 1e-9) for part, value in ideal.items()}
    fractional = [part for part in shares if ideal[part] - seats[part] > 1e-9]
    fractional.sort(key=lambda part: carried[part] + ideal[part] - seats[part], reverse=True)
    for part in fractional[: count - sum(seats.values())]:
        seats[part] += 1
    for part in shares:
        carried[part] += ideal[part] - seats[part]
    return seats


def _by_site(groups: Sequence[Group], *, least: int) -> list[list[str]]:
    """Keys of the groups of each site, the smallest first; sites of fewer than `least` groups are drawn together.

    The last one takes the seats that are left, which changes the share of the largest one least.
    """
    sites: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        sites[group.site].append(group.key)
    small = [key for keys in sites.values() if len(keys) < least for key in keys]
    large = [keys for keys in sites.values() if len(keys) >= least]
    return sorted(filter(None, [small, *large]), key=lambda keys: (len(keys), min(keys)))


def _share_of(free: Mapping[str, int], count: int) -> dict[str, int]:
    """Seats of `count` groups among the free ones of each part: in proportion, rounded by the largest remainder."""
    total = sum(free.values())
    seats = {part: seats * count // total for part, seats in free.items()}
    remainder = sorted(free, key=lambda part: free[part] * count % total, reverse=True)
    for part in remainder[: count - sum(seats.values())]:
        seats[part] += 1
    return seats


def _draw(keys: Sequence[str], seats: Mapping[str, int], shares: Mapping[str, float], salt: str) -> dict[str, str]:
    if TEST not in shares or len(shares) <= _DRAWN_AT_ONCE:
        return hash_draw(keys, seats, shares, salt)
    first = hash_draw(
        keys,
        {TEST: seats[TEST], _REST: len(keys) - seats[TEST]},
        {TEST: shares[TEST], _REST: 1 - shares[TEST]},
        salt,
    )
    others = {part: share for part, share in shares.items() if part != TEST}
    rest = [key for key, part in first.items() if part == _REST]
    return first | hash_draw(rest, {part: seats[part] for part in others}, others, salt)


def _balance_photographs(
    groups: Sequence[Group], shares: Mapping[str, float], parts: dict[str, str], salt: str
) -> None:
    """Exchanges large groups for small ones of their stratum until each part has about its share of photographs.

    In large data sets the assignment is balanced already, and nothing is exchanged.
    """
    total = sum(len(group.photographs) for group in groups)
    excess = {part: -share * total for part, share in shares.items()}
    for group in groups:
        excess[parts[group.key]] += len(group.photographs)
    if max(map(abs, excess.values())) <= _SHARE_TOLERANCE * total:
        return
    kinds: dict[_Kind, list[Group]] = defaultdict(list)
    for group in _in_order_of_cost(groups, parts, salt):
        kinds[parts[group.key], group.worst_grade, len(group.photographs)].append(group)
    while max(map(abs, excess.values())) > _SHARE_TOLERANCE * total:
        exchange = _best_exchange(excess, [kind for kind, several in sorted(kinds.items()) if several])
        if exchange is None:
            return
        large, small = exchange
        for giver, taker in ((large, small), (small, large)):
            group = kinds[giver].pop()  # the one with the highest cost in its part
            parts[group.key] = taker[0]
            kinds[taker[0], giver[1], giver[2]].insert(0, group)
            excess[giver[0]] -= giver[2]
            excess[taker[0]] += giver[2]


def _in_order_of_cost(groups: Sequence[Group], parts: Mapping[str, str], salt: str) -> list[Group]:
    """Sorted by their cost in their part."""
    cost = {group.key: int(costs([group.key], [parts[group.key]], [1.0], salt)[0, 0]) for group in groups}
    return sorted(groups, key=lambda group: (cost[group.key], group.key))


def _best_exchange(excess: Mapping[str, float], kinds: Sequence[_Kind]) -> tuple[_Kind, _Kind] | None:
    """The exchange of the worst part that reduces the sum of squared excesses most."""
    worst = max(excess, key=lambda part: abs(excess[part]))
    best, best_gain = None, 1e-9
    for large, small in itertools.product(kinds, kinds):
        moved = large[2] - small[2]
        if large[1] == small[1] and moved > 0 and large[0] != small[0] and worst in (large[0], small[0]):
            gain = moved * (excess[large[0]] - excess[small[0]] - moved)
            if gain > best_gain:
                best, best_gain = (large, small), gain
    return best
