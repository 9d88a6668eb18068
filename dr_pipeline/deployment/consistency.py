"""Refuses to pack parts that do not belong together."""

from collections.abc import Mapping
from typing import Any

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.errors import GateError
from dr_pipeline.fundus.quality.thresholds import Gradability
from dr_pipeline.schema import Split


def require_one_origin(
    export: Mapping[str, Any], decision: Decision, gradability: Gradability, *, hashes: Mapping[str, str]
) -> None:
    """Checks that model, export.json, decision and thresholds are of one split, and that nothing saw its test part.

    Args:
        export: export.json.
        decision: As fitted by `validate`.
        gradability: As fitted by `gradability`.
        hashes: Of the bytes that are packed, by the key under which export.json states them.

    Raises:
        GateError: They are of different origin, or the decision was fitted on something else than validation.
    """
    fitted_on = decision.fitted_on
    todo = "dvc repro"
    if fitted_on.get("split") != Split.VALIDATION:
        raise GateError(
            f"thresholds are fitted on validation only; these were fitted on {fitted_on.get('split')!r}",
            where="decision.json, fitted_on",
            todo=todo,
        )
    for key, found in hashes.items():
        if export[key] != found:
            raise GateError(f"not the file that export.json describes: another {key}", where="export.json", todo=todo)
    for key in ("splits_sha256", "fold"):
        if str(export[key]) != fitted_on.get(key):
            raise GateError(
                f"the network was trained with {key} {export[key]}, its decision fitted with {fitted_on.get(key)}",
                where="decision.json, fitted_on",
                todo=todo,
            )
    if gradability.fitted_on.get("splits_sha256") != str(export["splits_sha256"]):
        raise GateError(
            "the quality thresholds were fitted on the development part of another split",
            where="gradability.json, fitted_on",
            todo=todo,
        )
