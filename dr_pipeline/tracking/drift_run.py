"""One MLflow run per batch that was compared: its indices, verdict and page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tracking.facts import Facts, Measure
from dr_pipeline.tracking.store import Store

_GROUP = "drift"


def record_drift(store: Store, result: Mapping[str, Any], files: Sequence[Path]) -> str:
    """Records a comparison; the same batch with the same bundle is one run, brought up to date.

    Args:
        store: Where to.
        result: The content of drift.json.
        files: drift.json and the page.

    Returns:
        The run's id.
    """
    batch = result["batch"]
    tags = {"dr.item": _GROUP, "dr.batch": batch["sha256"], "bundle_id": batch["bundle_id"]}
    run = store.find(tags) or store.create(f"{_GROUP} {batch['sha256'][:8]}", tags)
    metrics = [Measure(f"{_GROUP}/photographs", batch["photographs"])]
    for each in result["comparisons"]:
        if each["of"] == "all":
            metrics.append(Measure(f"{_GROUP}/{each['measure']}.effect", each["effect"]))
            metrics.append(Measure(f"{_GROUP}/{each['measure']}.p_value", each["p_value"]))
    shown = {
        "verdict": result["verdict"],
        "mlflow.note.content": RESEARCH_USE,
        "mlflow.source.name": "dr-pipeline drift",
    }
    run.log(Facts(metrics=metrics, tags=shown, artifacts=[(path, _GROUP) for path in files]))
    run.end("FINISHED")
    return run.run_id
