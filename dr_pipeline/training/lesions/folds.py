"""Which photograph validates which network: photographs of one group stay together, rare kinds are spread."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_bytes

# Instead of a fold's number: every photograph trains, as for the network that is exported.
ALL = "all"


@dataclass(frozen=True)
class Annotated:
    """One photograph.

    Attributes:
        image_id: Its name.
        group: The eye or patient, whose photographs stay together.
        pixels: Of each kind that was annotated, shown or not.
    """

    image_id: str
    group: str
    pixels: Mapping[str, int]


def assign_folds(photographs: Sequence[Annotated], num_folds: int, *, seed: int) -> dict[str, int]:
    """Gives each photograph a fold.

    The groups are dealt out in turn, those that show the rarest kind first, so that each fold has its part of it; among
    equal ones a hash of the seed and the group's name decides. The order of the photographs does not matter.

    Args:
        photographs: All of them.
        num_folds: Two or more.
        seed: Of the order.

    Returns:
        Image id → fold, from 0.

    Raises:
        DataError: There are fewer groups than folds.
    """
    shown: defaultdict[str, set[str]] = defaultdict(set)
    for photograph in photographs:
        shown[photograph.group] |= {kind for kind, pixels in photograph.pixels.items() if pixels}
    if len(shown) < num_folds:
        raise DataError(
            f"found {len(shown)} eyes or patients, fewer than {num_folds} folds",
            where="the store of lesion canvases",
            todo="lower lesions.NAME.folds in params.yaml, or add annotated photographs",
        )
    frequency = Counter(kind for kinds in shown.values() for kind in kinds)

    def rank(group: str) -> tuple[int, str]:
        rarest = min((frequency[kind] for kind in shown[group]), default=len(shown) + 1)
        return rarest, sha256_bytes(f"{seed} {group}".encode())

    fold_of = {group: position % num_folds for position, group in enumerate(sorted(shown, key=rank))}
    return {photograph.image_id: fold_of[photograph.group] for photograph in photographs}


def require_every_kind(photographs: Sequence[Annotated], kinds: Sequence[str], *, where: str) -> None:
    """Refuses to train a kind that no photograph shows.

    Raises:
        DataError: Names the kinds, and whether they were annotated at all.
    """
    shown = {kind for photograph in photographs for kind, pixels in photograph.pixels.items() if pixels}
    if missing := [kind for kind in kinds if kind not in shown]:
        annotated = {kind for photograph in photographs for kind in photograph.pixels}
        names = ", ".join(
            f"{kind} ({'annotated, none found' if kind in annotated else 'not annotated'})" for kind in missing
        )
        raise DataError(
            f"no training photograph shows {names}",
            where=where,
            todo="leave it out of lesions.NAME.kinds in params.yaml, lower lesions.NAME.folds, or add photographs",
        )
