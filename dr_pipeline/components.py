"""Connected components of a graph of names: who belongs together, directly or through others (union-find)."""

from collections import defaultdict
from collections.abc import Iterable


def components(links: Iterable[tuple[str, str]], alone: Iterable[str] = ()) -> list[tuple[str, ...]]:
    """The connected components of a graph.

    Args:
        links: Its edges.
        alone: Further names, which may have no edge.

    Returns:
        Sorted names of each component, sorted by the first.
    """
    parent: dict[str, str] = {}

    def root_of(name: str) -> str:
        root = name
        while parent.setdefault(root, root) != root:
            root = parent[root]
        while parent[name] != root:
            parent[name], name = root, parent[name]
        return root

    for one, other in links:
        parent[root_of(one)] = root_of(other)
    members: defaultdict[str, list[str]] = defaultdict(list)
    for name in {**parent, **dict.fromkeys(alone)}:
        members[root_of(name)].append(name)
    return sorted(tuple(sorted(several)) for several in members.values())
