"""Names of another framework's tensors in this network's terms: a CSV table with the columns from, to, transpose."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv
from dr_pipeline.models.convert.kernel_layouts import AS_IS, LAYOUTS


@dataclass(frozen=True)
class Rule:
    """One row: a tensor of the file, its name here (empty: left out) and its layout (empty: by its shape)."""

    stored: str
    name: str
    layout: str


def read_name_map(path: Path) -> tuple[Rule, ...]:
    """Reads a name map.

    Raises:
        DataError: The table cannot be read, two rows name one tensor, or a layout is unknown.
    """
    rules = tuple(Rule(row["from"], row["to"], row.get("transpose", "")) for row in read_csv(path, ("from", "to")))
    for number, rule in enumerate(rules, start=2):
        where = f"{path}, row {number}"
        if rule.layout not in ("", AS_IS, *LAYOUTS):
            raise DataError(
                f"transpose is {rule.layout!r}", where=where, todo=f"use one of {', '.join((AS_IS, *LAYOUTS))}, or none"
            )
        others = rules[: number - 2]
        if any(rule.stored == other.stored or (rule.name and rule.name == other.name) for other in others):
            raise DataError(f"{rule.stored!r} or {rule.name!r} is named twice", where=where, todo="mend the name map")
    return rules


def renamed(
    tensors: Mapping[str, Tensor], rules: tuple[Rule, ...], *, where: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Named tensors after the map; a tensor that it does not name keeps its name.

    Returns:
        The tensors, and what there is to note.

    Raises:
        DataError: The map names a tensor that the file does not hold, or gives a name that the file has already.
    """
    made = dict(tensors)
    if absent := [rule.stored for rule in rules if rule.stored not in made]:
        raise DataError(
            f"the name map names {len(absent)} tensors that the file does not hold (first: {absent[0]})",
            where=where,
            todo="mend the name map",
        )
    taken = [(rule, made.pop(rule.stored)) for rule in rules]
    for rule, tensor in taken:
        if rule.name in made:
            raise DataError(f"two tensors are named {rule.name!r} after the map", where=where, todo="mend the name map")
        if rule.name:
            made[rule.name] = tensor
    left_out = sum(not rule.name for rule in rules)
    notes = [f"{len(rules) - left_out} tensors renamed"] if rules else []
    if left_out:
        notes.append(f"{left_out} tensors left out by the map")
    return made, tuple(notes)
