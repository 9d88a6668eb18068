"""A repository as a finished pipeline leaves it: small, invented figures in the real files' shapes."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from dr_pipeline.files import read_json, write_json
from dr_pipeline.tables.graded import GradedRow, write_graded
from tests.factories import REPOSITORY
from tests.factories.csv_files import write_csv

PARAMS = REPOSITORY / "params.yaml"
HISTORY = (
    "epoch",
    "seconds",
    "train_loss",
    "validation_loss",
    "validation_qwk",
    "validation_qwk_error",
    "learning_rate",
    "images_per_s",
)

DVC_YAML = """
stages:
  split:
    deps: [data/audited.csv]
  train:
    matrix: {candidate: [lite0, b0], fold: [0]}
    deps: [dr_pipeline/training/loop.py, data/canvases, data/splits.csv]
  validate:
    matrix: {candidate: [lite0, b0]}
    deps: ["data/exports/${item.candidate}", data/splits.csv]
  test:
    deps: [data/release, data/splits.csv]
"""
DVC_LOCK = """
schema: '2.0'
stages:
  split: {cmd: x, outs: [{path: data/splits.csv, md5: aaa}]}
  preprocess: {cmd: x, outs: [{path: data/canvases, md5: bbb.dir}]}
  export@lite0: {cmd: x, outs: [{path: data/exports/lite0, md5: ccc.dir}]}
  package: {cmd: x, outs: [{path: data/release, md5: ddd.dir}]}
"""


def figure(value: float, n: int = 120) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05, "n": n}


def history(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": epoch,
            "seconds": 10.5,
            "train_loss": 1.6 / (epoch + 1),
            "validation_loss": 1.5 / (epoch + 1) + 0.1,
            "validation_qwk": 0.8 - 0.6 / (epoch + 1),
            "validation_qwk_error": 0.02,
            "learning_rate": 0.002 / (epoch + 1),
            "images_per_s": 61.0,
        }
        for epoch in range(epochs)
    ]


class Repository:
    """Writes each stage's files under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "dvc.yaml").write_text(DVC_YAML)
        (root / "dvc.lock").write_text(DVC_LOCK)
        shutil.copy(PARAMS, root / "params.yaml")
        (root / "data").mkdir()
        (root / "data" / "manifest.csv").write_text("schema_version,image_id\n1,a\n")

    def train(self, name: str = "lite0-0", epochs: int = 4) -> None:
        folder = self.root / "reports" / "training"
        write_csv(folder / f"{name}.csv", HISTORY, history(epochs))
        layer = {"layer": "backbone.bn1", "kind": "BatchNorm2d", "channels": 32, "dead_channels": 0, "mean": 0.1}
        layers = [layer | {"when": when, "std": 1.0, "shift": 0.05} for when in ("before", "after")]
        write_csv(folder / f"{name}-layers.csv", list(layers[0]), layers)
        said = {"best_epoch": epochs - 1, "epochs": epochs, "validation_qwk": 0.65, "parameters": 3_400_000}
        write_json(
            folder / f"{name}.json", {"training": {name: said | {"model": "tf_efficientnet_lite0", "device": "cpu"}}}
        )

    def export(self, candidate: str = "lite0") -> None:
        parity = {"n": 120, "changed_grades": 0, "max_probability_difference": 1e-6}
        write_json(
            self.root / "data" / "exports" / candidate / "export.json",
            {"schema_version": 1, "family": "efficientnet", "parity": parity, "versions": {"torch": "2.15.0"}},
        )

    def validate(self, candidate: str = "lite0", qwk: float = 0.81) -> None:
        own = {"qwk": figure(qwk), "confusion": [[10, 1], [2, 9]], "recall": {"3": figure(0.7)}}
        write_json(self.root / "reports" / "validation" / f"{candidate}.json", {"validation": {candidate: own}})

    def latency(self, candidate: str = "lite0") -> None:
        own = {"p50_ms": 14.0, "p95_ms": 17.5, "p99_ms": 19.0, "n": 60, "threads": 1, "machine": "m1"}
        write_json(self.root / "reports" / "latency" / f"{candidate}.json", {"latency": {candidate: own}})

    def split(self) -> None:
        write_json(self.root / "reports" / "split.json", {"photographs": 430, "groups": 215})

    def test(self, bundle_id: str = "", rows: Sequence[GradedRow] = (), splits_sha256: str = "0" * 64) -> None:
        """The test figures and graded photographs of a bundle; by default of the one that lies in data/release."""
        metadata = self.root / "data" / "release" / "metadata.json"
        if metadata.is_file():
            bundle_id = bundle_id or read_json(metadata)["bundle_id"]
        report = {"qwk": figure(0.83), "bundle_id": bundle_id, "splits_sha256": splits_sha256}
        write_json(self.root / "reports" / "test.json", {"test": report})
        write_graded(self.root / "data" / "test_predictions.csv", rows)

    def external(self, name: str, bundle_id: str, qwk: float = 0.7) -> None:
        """The figures of a bundle on another data set, which params.yaml then names."""
        params = self.root / "params.yaml"
        document = yaml.safe_load(params.read_text())
        document["external"] |= {name: {"params": f"{name}.yaml", "root": name}}
        params.write_text(yaml.safe_dump(document, sort_keys=False))
        screened = {"referable_sensitivity": figure(0.9, 40)}
        report = {"bundle_id": bundle_id, "figures": {"qwk": figure(qwk, 99), "gradable": {"qwk": figure(0.72, 90)}}}
        report |= {"intention_to_screen": screened, "repeatability": {"pairs": 3}, "subgroups": {"flagged": 1}}
        write_json(self.root / "reports" / "external" / f"{name}.json", {"external": {name: report}})
