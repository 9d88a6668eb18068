"""Refuses to pack parts that do not belong together."""

from collections.abc import Mapping
from typing import Any

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.errors import GateError
from dr_pipeline.schema import Split


def require_one_origin(export: Mapping[str, Any], decision: Decision, *, model_sha256: str) -> None:
    """Checks that model, export.json and decision are of one training, and that the decision never saw the test split.

    Args:
        export: export.json.
        decision: As fitted by `validate`.
        model_sha256: Of the bytes of model.onnx.

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
    if export["onnx_sha256"] != model_sha256:
        raise GateError("model.onnx is not the file that export.json describes", where="export.json", todo=todo)
    for key in ("splits_sha256", "fold"):
        if str(export[key]) != fitted_on.get(key):
            raise GateError(
                f"the network was trained with {key} {export[key]}, its decision fitted with {fitted_on.get(key)}",
                where="decision.json, fitted_on",
                todo=todo,
            )
