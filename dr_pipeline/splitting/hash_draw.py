"""Assigns a stratum to parts of exact sizes by salted hash.

Weighted rendezvous hashing (Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6:1, 1998) gives each group to
the part in which its exponential variate −log(hash)/share is the smallest. That alone never moves a group when others
are added or removed, but gives the sizes in expectation only. The assignment with the smallest sum of log variates and
exact sizes is therefore taken: groups change parts only where the boundary between two parts shifts, of the order of
the square root of their number.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

# Costs are integers, so that sums are exact and ties are the same on every machine.
_COST_UNIT = 2.0**-40
_UNREACHED = np.int64(2**60)


def hash_draw(keys: Sequence[str], seats: Mapping[str, int], shares: Mapping[str, float], salt: str) -> dict[str, str]:
    """Assigns every key to a part.

    Args:
        keys: Names of groups, in any order.
        seats: How many of them each part takes; they add up to the number of keys.
        shares: Share of each part, above 0. They must not depend on the data.
        salt: Another salt gives another assignment.

    Returns:
        The part of each key.
    """
    parts = list(seats)
    names = sorted(keys)
    cost = costs(names, parts, [shares[part] for part in parts], salt)
    chosen = min_cost_assignment(cost, np.array([*seats.values()]))
    return {name: parts[index] for name, index in zip(names, chosen.tolist(), strict=True)}


def costs(keys: Sequence[str], parts: Sequence[str], shares: Sequence[float], salt: str) -> NDArray[np.int64]:
    """Cost of each key in each part: the log of its exponential variate, in units of 2^-40.

    Args:
        keys: N names.
        parts: K names.
        shares: Of the K parts, above 0.
        salt: Part of what is hashed.

    Returns:
        Shape (N, K).
    """
    uniform = np.array([[_uniform(salt, part, key) for part in parts] for key in keys]).reshape(len(keys), len(parts))
    logs = np.log(-np.log(uniform)) - np.log(np.asarray(shares, dtype=np.float64))
    return np.asarray(np.rint(logs / _COST_UNIT).astype(np.int64))


def min_cost_assignment(cost: NDArray[np.int64], seats: NDArray[np.int64]) -> NDArray[np.intp]:
    """The assignment with the smallest total cost in which part k has seats[k] members.

    All start in their cheapest part; then one after another is moved along the cheapest path from a part with too many
    members to one with too few (successive shortest paths: Ahuja, Magnanti and Orlin, "Network Flows", 1993, 9.7).

    Args:
        cost: Shape (N, K).
        seats: Shape (K,); they add up to N.

    Returns:
        Part of each of the N, shape (N,).
    """
    num_parts = len(seats)
    part = cost.argmin(axis=1) if len(cost) else np.zeros(0, dtype=np.intp)
    excess = np.bincount(part, minlength=num_parts) - seats
    # The cheapest move of one member from the row's part to the column's, and its member.
    step = np.full((num_parts, num_parts), _UNREACHED)
    mover = np.zeros((num_parts, num_parts), dtype=np.intp)
    changed = list(range(num_parts))
    while excess.any():
        for giver in changed:
            members = np.flatnonzero(part == giver)
            step[giver] = _UNREACHED
            if len(members):
                extra = cost[members] - cost[members, giver][:, None]
                best = extra.argmin(axis=0)
                mover[giver] = members[best]
                step[giver] = extra[best, np.arange(num_parts)]
            step[giver, giver] = _UNREACHED
        changed = _cheapest_path(step, excess)
        for giver, taker in itertools.pairwise(changed):
            part[mover[giver, taker]] = taker
        excess[changed[0]] -= 1
        excess[changed[-1]] += 1
    return part


def _cheapest_path(step: NDArray[np.int64], excess: NDArray[np.int64]) -> list[int]:
    """Parts on the cheapest path from one with too many members to one with too few (Bellman and Ford)."""
    distance = np.where(excess > 0, np.int64(0), _UNREACHED)
    before = np.full(len(excess), -1)
    while True:
        onward = distance[:, None] + step
        giver = onward.argmin(axis=0)
        shorter = onward[giver, np.arange(len(excess))]
        better = shorter < distance
        if not better.any():
            break
        distance = np.where(better, shorter, distance)
        before = np.where(better, giver, before)
    path = [int(np.where(excess < 0, distance, _UNREACHED).argmin())]
    while before[path[0]] >= 0:
        path.insert(0, int(before[path[0]]))
    return path


def _uniform(salt: str, part: str, key: str) -> float:
    """In the open interval from 0 to 1, from the first 53 bits of SHA-256."""
    digest = hashlib.sha256(f"{salt}\0{part}\0{key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") // 2**11 + 0.5) / 2**53
