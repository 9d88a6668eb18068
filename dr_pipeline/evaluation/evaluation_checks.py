"""Checks that the inputs of an evaluation belong together, and counts the openings of a test split."""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import sha256_json
from dr_pipeline.schema import Split


def require_same_data(found: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    """Compares the recorded origin of an artefact with the present files.

    Raises:
        GateError: They differ; the message names the first difference.
    """
    for name, value in expected.items():
        if found.get(name) != value:
            raise GateError(
                f"made from another {name}: {found.get(name)!r}, here it is {value!r}",
                where=where,
                todo="run `dvc repro`, which rebuilds what is out of date",
            )


def require_fitted_on_validation(decision: Decision, splits_sha256: str, where: str) -> None:
    """Refuses a decision that may have been fitted on the test photographs.

    Raises:
        GateError: It was fitted on another split than validation, or with another division of the photographs.
    """
    split = decision.fitted_on.get("split", "")
    if split != Split.VALIDATION:
        raise GateError(
            f"cut points and calibration were fitted on {split or 'an unknown split'!r}, not on validation",
            where=where,
            todo="fit them with `dvc repro validate`; figures of a decision on what it was fitted on are too good",
        )
    if decision.fitted_on.get("splits_sha256") != splits_sha256:
        raise GateError(
            "the decision was fitted with another division of the photographs, so that some of this test split "
            "may have been in its training",
            where=where,
            todo="run `dvc repro`, which trains and fits again",
        )


def record_opening(ledger: Path, image_ids: Sequence[str], splits_sha256: str, bundle_id: str) -> int:
    """Records the opening of a test split, before anything of it is graded.

    The ledger is not an output of the pipeline: rebuilding the pipeline does not undo an opening.

    Args:
        ledger: JSON lines; created where it is missing, else appended to.
        image_ids: The photographs of the test split, which identify it.
        splits_sha256: Hash of splits.csv.
        bundle_id: The tested bundle.

    Returns:
        How often these photographs have been opened as a test split, this time included.

    Raises:
        DataError: The ledger holds an unrecognised line.
    """
    test_sha256 = sha256_json(sorted(image_ids))
    opening = {
        "test_sha256": test_sha256,
        "splits_sha256": splits_sha256,
        "bundle_id": bundle_id,
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    earlier = _read_ledger(ledger)
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with ledger.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(opening, sort_keys=True) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    return 1 + sum(line["test_sha256"] == test_sha256 for line in earlier)


def _read_ledger(ledger: Path) -> list[dict[str, str]]:
    if not ledger.exists():
        return []
    openings = []
    for number, line in enumerate(ledger.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            opening = json.loads(line)
            openings.append({"test_sha256": str(opening["test_sha256"])})
        except (json.JSONDecodeError, KeyError, TypeError):
            raise DataError(
                "the ledger of test openings is damaged",
                where=f"{ledger}, line {number}",
                todo="restore it from version control; do not remove lines: they count the openings",
            ) from None
    return openings
