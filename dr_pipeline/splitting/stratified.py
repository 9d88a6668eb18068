"""Which group goes where: exact shares per grade of the worse eye, drawn by salted hash."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from dr_pipeline.splitting.groups import Group
from dr_pipeline.splitting.hash_draw import costs, draw

TEST = "test"
TRAIN = "train"
_REST = "rest"
# Up to so many parts are drawn at once. With more, the test part is drawn first and then the others among themselves:
# every pair of parts has a boundary that shifts, and this leaves the test part only one (benchmarks/splits.py).
_DRAWN_AT_ONCE = 4
# Groups are exchanged where a part's share of photographs is further off than this. The training part is what test
# and validation leave, so that its share is off by no more than twice as much: within the 3 points asked for.
_SHARE_TOLERANCE = 0.015

# Groups that may be exchanged for one another's kind: part, stratum, number of photographs.
_Kind = tuple[str, int, int]


def part_shares(test_share: float, num_folds: int) -> dict[str, float]:
    """The share of each part: "test", then the folds "0", "1", … of the rest, alike."""
    return {TEST: test_share} | {str(fold): (1 - test_share) / num_folds for fold in range(num_folds)}


def assign(groups: Sequence[Group], shares: Mapping[str, float], salt: str) -> dict[str, str]:
    """Divides groups into parts.

    Args:
        groups: In any order.
        shares: Share of each part, above 0; they add up to 1.
        salt: Another salt gives another division.

    Returns:
        The part of each group, by its key. In every stratum (grade of the worse eye) each part has the ideal number of
        groups, rounded down or up.
    """
    strata: dict[int, list[str]] = defaultdict(list)
    for group in groups:
        strata[group.worst_grade].append(group.key)
    parts: dict[str, str] = {}
    carried = dict.fromkeys(shares, 0.0)
    for grade in sorted(strata, reverse=True):
        parts |= _draw(strata[grade], apportion(len(strata[grade]), shares, carried), shares, salt)
    _even_out_photographs(groups, shares, parts, salt)
    return parts


def apportion(count: int, shares: Mapping[str, float], carried: dict[str, float]) -> dict[str, int]:
    """Seats of each part among `count` groups: its ideal number, rounded down or up.

    Who is rounded up is decided by what rounding has cost each part so far, so that totals come out right too.

    Args:
        count: Groups to seat.
        shares: Share of each part.
        carried: Seats that each part lacks from earlier strata; brought up to date.
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


def grades_by_part(groups: Sequence[Group], parts: Mapping[str, str]) -> dict[str, Counter[int]]:
    """How many photographs of each grade each part holds."""
    table: dict[str, Counter[int]] = defaultdict(Counter)
    for group in groups:
        table[parts[group.key]].update(photograph.grade for photograph in group.photographs)
    return dict(table)


def _draw(keys: Sequence[str], seats: Mapping[str, int], shares: Mapping[str, float], salt: str) -> dict[str, str]:
    if TEST not in shares or len(shares) <= _DRAWN_AT_ONCE:
        return draw(keys, seats, shares, salt)
    first = draw(
        keys,
        {TEST: seats[TEST], _REST: len(keys) - seats[TEST]},
        {TEST: shares[TEST], _REST: 1 - shares[TEST]},
        salt,
    )
    others = {part: share for part, share in shares.items() if part != TEST}
    rest = [key for key, part in first.items() if part == _REST]
    return first | draw(rest, {part: seats[part] for part in others}, others, salt)


def _even_out_photographs(
    groups: Sequence[Group], shares: Mapping[str, float], parts: dict[str, str], salt: str
) -> None:
    """Exchanges large groups for small ones of their stratum until each part has about its share of photographs.

    In large data the draw alone sees to it, and nothing is exchanged.
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
            group = kinds[giver].pop()  # the one least drawn to its part
            parts[group.key] = taker[0]
            kinds[taker[0], giver[1], giver[2]].insert(0, group)
            excess[giver[0]] -= giver[2]
            excess[taker[0]] += giver[2]


def _in_order_of_cost(groups: Sequence[Group], parts: Mapping[str, str], salt: str) -> list[Group]:
    """Those most drawn to their part first."""
    cost = {group.key: int(costs([group.key], [parts[group.key]], [1.0], salt)[0, 0]) for group in groups}
    return sorted(groups, key=lambda group: (cost[group.key], group.key))


def _best_exchange(excess: Mapping[str, float], kinds: Sequence[_Kind]) -> tuple[_Kind, _Kind] | None:
    """What the part furthest off should exchange, and with whom: the largest fall of the sum of squared excesses."""
    worst = max(excess, key=lambda part: abs(excess[part]))
    best, best_gain = None, 1e-9
    for large, small in itertools.product(kinds, kinds):
        moved = large[2] - small[2]
        if large[1] == small[1] and moved > 0 and large[0] != small[0] and worst in (large[0], small[0]):
            gain = moved * (excess[large[0]] - excess[small[0]] - moved)
            if gain > best_gain:
                best, best_gain = (large, small), gain
    return best
