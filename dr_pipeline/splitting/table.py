"""The rows of splits.csv as they are written; apart from reading, so that training does not hang on the grouping."""

from collections.abc import Mapping, Sequence

from dr_pipeline.schema import SPLITS_VERSION, Split
from dr_pipeline.splitting.groups import Group
from dr_pipeline.splitting.read import DEVELOPMENT


def split_table(groups: Sequence[Group], parts: Mapping[str, str]) -> list[dict[str, str | int]]:
    """The rows to write, in the order of their image_id.

    Args:
        groups: Those in a part.
        parts: By group: "test", a fold as "0", "1", …, or "train" where it is in every training part.
    """
    table: list[dict[str, str | int]] = [
        {
            "schema_version": SPLITS_VERSION,
            "image_id": photograph.image_id,
            "patient_id": photograph.patient_id,
            "eye": photograph.eye,
            "visit": photograph.visit,
            "site": photograph.site,
            "duplicate_cluster": photograph.duplicate_cluster,
            "group": group.key,
            "grade": photograph.grade,
            "split": Split.TEST.value if parts[group.key] == Split.TEST else DEVELOPMENT,
            "fold": parts[group.key] if parts[group.key].isdecimal() else "",
        }
        for group in groups
        for photograph in group.photographs
    ]
    return sorted(table, key=lambda row: str(row["image_id"]))
