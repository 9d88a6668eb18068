"""The experiment in MLflow: one run per arm, from the written files. A failing tracker stops nothing."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dr_pipeline.files import sha256_json
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tracking.facts import Facts, Measure, flat
from dr_pipeline.tracking.guard import guarded, switched_on
from dr_pipeline.tracking.store import Store, files_root

_REACH = ("value", "low", "high")
_FIGURES = ("qwk", "referable_auc", "accuracy")


def show_in_mlflow(report: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Adds or finds the run of each arm, where tracking is on (DR_PIPELINE_TRACKING).

    Args:
        report: The report of `summary.summarise`.
        files: The artifacts of each run.
    """
    if switched_on():
        guarded(lambda: _show(report, files))


def _show(report: Mapping[str, Any], files: Sequence[Path]) -> None:
    store = Store(files_root(Path.cwd()))
    for arm in report["arms"]:
        tags = {"dr.experiment": report["experiment"], "dr.arm": arm["arm"], "dr.result": sha256_json(arm)}
        name = f"{report['experiment']}/{arm['arm']}"
        run = store.find(tags) or store.create(name, tags)
        facts = arm_facts(arm)
        facts.artifacts = [(path, "experiment") for path in files]
        run.log(facts)
        run.end("FINISHED")


def arm_facts(arm: Mapping[str, Any]) -> Facts:
    """Parameters and figures of an arm, named as in the pipeline's own runs."""
    speed = {name: value for name, value in arm["throughput"].items() if name.endswith("_per_s")}
    metrics = [Measure(f"experiment/{name}", float(value)) for name, value in speed.items()]
    if arm["trained"]:
        for name in _FIGURES:
            for part in _REACH:
                if (value := arm["figures"][name][part]) is not None:
                    suffix = "" if part == "value" else f".{part}"
                    metrics.append(Measure(f"experiment/{name}{suffix}", float(value)))
        metrics += [
            Measure("experiment/fold_qwk", float(one["qwk"]), one["fold"])
            for one in arm["by_fold"]
            if one["qwk"] is not None
        ]
        metrics += [
            Measure(f"experiment/site/{_in_key(site['site'])}/{name}", float(site[name]["value"]))
            for site in arm.get("by_site", ())
            for name in _FIGURES
            if site[name]["value"] is not None
        ]
    return Facts(params=flat(arm["settings"]), metrics=metrics, tags={"mlflow.note.content": RESEARCH_USE})


def _in_key(site: str) -> str:
    """A site's name with the characters that MLflow takes in the name of a metric."""
    return re.sub(r"[^A-Za-z0-9_.\- ]", "_", site)
