"""The shortcut finder's table: categories that do not depend on the retina, and blocks held out together."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.components import components
from dr_pipeline.tables.canvas_index import CanvasRow

# Steps of the disc's radius relative to the frame's shorter side: a camera's framing, not one photograph's jitter.
_RADIUS_STEP = 0.02
_CLUSTER = "cluster:"


@dataclass(frozen=True)
class ShortcutTable:
    """The labelled photographs that are used.

    Attributes:
        image_ids: N ids, sorted.
        referable: Shape (N,).
        categories: By predictor, the category of each photograph as text, N each; empty: unknown.
        blocks: What is held out together, patients joined by duplicates and eyes: numbers from 0, shape (N,).
        block_names: Their names, which do not depend on other blocks.
    """

    image_ids: tuple[str, ...]
    referable: NDArray[np.bool_]
    categories: Mapping[str, Sequence[str]]
    blocks: NDArray[np.int64]
    block_names: tuple[str, ...]


def shortcut_table(inputs: AuditInputs, clusters: Mapping[str, str], excluded: Container[str]) -> ShortcutTable:
    """Collects the photographs that have a label and are not excluded.

    Args:
        inputs: Whose rows.
        clusters: Duplicate cluster, or group of the photographs of one eye, by image id.
        excluded: Image ids that are excluded.
    """
    labelled = [
        (image_id, label)
        for image_id, row in inputs.rows.items()
        if (label := row.is_referable) is not None and image_id not in excluded
    ]
    image_ids = tuple(image_id for image_id, _ in labelled)
    rows = [inputs.rows[image_id] for image_id in image_ids]
    index = [inputs.index[image_id] for image_id in image_ids]
    owners = [f"patient:{row.patient_id}" if row.patient_id else f"photograph:{row.image_id}" for row in rows]
    links = [
        (owner, f"{_CLUSTER}{clusters[image_id]}" if image_id in clusters else owner)
        for owner, image_id in zip(owners, image_ids, strict=True)
    ]
    number: dict[str, int] = {}
    names = []
    for block, members in enumerate(components(links)):
        number |= dict.fromkeys(members, block)
        names.append(min(member for member in members if not member.startswith(_CLUSTER)))
    return ShortcutTable(
        image_ids=image_ids,
        referable=np.array([label for _, label in labelled], dtype=bool),
        categories={
            "site": [row.site for row in rows],
            "camera": [row.camera for row in rows],
            "format_and_size": [f"{row.format} {_text(row.width)}×{_text(row.height)}" for row in index],
            "disc_radius": [_relative_radius(row) for row in index],
            "eye": [row.eye.value for row in rows],
        },
        blocks=np.array([number[owner] for owner in owners], dtype=np.int64),
        block_names=tuple(names),
    )


def _text(length: int | None) -> str:
    return "" if length is None else str(length)


def _relative_radius(row: CanvasRow) -> str:
    if row.disc_radius is None or row.width is None or row.height is None:
        return ""
    relative = row.disc_radius / min(row.width, row.height)
    return f"{_RADIUS_STEP * round(relative / _RADIUS_STEP):.2f}"
