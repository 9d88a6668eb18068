"""The stages validate and test on canvases made here, with a network of one matrix."""

import argparse
import io
import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import add_to_tar, read_csv, read_json, sha256_file, write_json
from dr_pipeline.stages import test as test_stage
from dr_pipeline.stages import validate
from dr_pipeline.tables.canvas_index import CANVAS_INDEX
from dr_pipeline.tables.gradability import GRADABILITY
from dr_pipeline.tables.manifest import ManifestRow, write_manifest
from dr_pipeline.tables.splits import SPLITS
from tests.factories import REPOSITORY
from tests.factories import bundles as bundle_factory
from tests.factories.csv_files import write_csv

pytestmark = pytest.mark.slow

NUM_PATIENTS = 90


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Canvases whose colour follows the grade, a split, and an export."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    index, splits, statuses, tar_bytes = [], [], [], io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w") as tar:
        for patient in range(NUM_PATIENTS):
            for eye in ("left", "right"):
                image_id, grade = f"{patient:03}-{eye}", patient % 5
                colour = np.clip(40 * grade + 40 + 15 * rng.normal(size=3), 0, 255)
                canvas = np.broadcast_to(colour, (64, 64, 3)).astype(np.uint8)
                add_to_tar(tar, f"{image_id}.png", bundle_factory.encode(canvas, ".png"))
                status = "ungradable" if grade == 4 and eye == "left" and patient % 2 else "scored"
                row = dict.fromkeys(CANVAS_INDEX.columns, "") | {
                    "schema_version": CANVAS_INDEX.version,
                    "image_id": image_id,
                }
                judged = {"schema_version": 1, "image_id": image_id, "status": status, "reason": ""}
                statuses.append(judged)
                index.append(row | {"shard": "shard-00000.tar", "status": status})
                part = patient // 5 % 3
                splits.append(
                    {
                        "schema_version": 2,
                        "image_id": image_id,
                        "patient_id": f"P{patient}",
                        "eye": eye,
                        "site": "",
                        "duplicate_cluster": "",
                        "group": f"patient:P{patient}",
                        "grade": grade,
                        "split": "test" if part == 2 else "development",
                        "fold": "" if part == 2 else part,
                    }
                )
    canvases = tmp_path / "canvases"
    canvases.mkdir()
    (canvases / "shard-00000.tar").write_bytes(tar_bytes.getvalue())
    write_csv(canvases / "index.csv", CANVAS_INDEX.columns, index)
    described = {"fingerprint": bundle_factory.PIXEL_PATH.fingerprint}
    write_json(canvases / "pixel_path.json", bundle_factory.PIXEL_PATH.to_dict() | described)
    write_csv(tmp_path / "splits.csv", SPLITS.columns, splits)
    write_csv(tmp_path / "gradability.csv", GRADABILITY.columns, statuses)
    cameras = {"left": "near", "right": "far"}
    write_manifest(
        tmp_path / "audited.csv",
        [
            ManifestRow(image_id=row["image_id"], path="x.jpg", eye=row["eye"], camera=cameras[row["eye"]])
            for row in splits
        ],
    )
    model = bundle_factory.onnx_model()
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "model.onnx").write_bytes(model)
    export = bundle_factory.export_json(model, splits_sha256=sha256_file(tmp_path / "splits.csv"))
    write_json(tmp_path / "export" / "export.json", export)
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    return tmp_path


def validate_arguments(folder: Path, **changes: object) -> argparse.Namespace:
    values = {
        "candidate": "tiny",
        "fold": 0,
        "params": folder / "params.yaml",
        "export": folder / "export",
        "canvases": folder / "canvases",
        "splits": folder / "splits.csv",
        "gradability": folder / "gradability.csv",
        "out": folder / "validation",
        "report": folder / "validation.json",
    }
    return argparse.Namespace(**(values | changes))


def opening_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch, **fitted_on: str) -> argparse.Namespace:
    decision = Decision.from_dict(read_json(folder / "validation" / "decision.json"))
    decision = replace(decision, fitted_on=decision.fitted_on | fitted_on)
    monkeypatch.setattr(bundle_factory, "DECISION", decision)
    thresholds = replace(bundle_factory.GRADABILITY, fitted_on={"splits_sha256": sha256_file(folder / "splits.csv")})
    monkeypatch.setattr(bundle_factory, "GRADABILITY", thresholds)
    validation = read_json(folder / "validation.json")["validation"]["tiny"]
    bundle_factory.make_bundle(folder / "release", validation=validation)
    return argparse.Namespace(
        params=folder / "params.yaml",
        bundle=folder / "release",
        canvases=folder / "canvases",
        splits=folder / "splits.csv",
        gradability=folder / "gradability.csv",
        audited=folder / "audited.csv",
        predictions=folder / "test_predictions.csv",
        report=folder / "test.json",
        openings=folder / "openings.jsonl",
    )


def test_validate_writes_figures_decision_and_rows(workplace: Path) -> None:
    outcome = validate.run(validate_arguments(workplace))
    report = json.loads((workplace / "validation.json").read_text())["validation"]["tiny"]
    rows = read_csv(workplace / "validation" / "predictions.csv", version=1)
    rejected = sum(row["rejected"] for row in report["rejection_by_grade"].values())
    assert report["n"] == len(rows) == 60
    assert report["groups"] == 30
    assert report["qwk"]["low"] <= report["qwk"]["value"] <= report["qwk"]["high"]
    assert report["gradable"]["n"] == 60 - rejected
    assert rejected == sum(row["status"] == "ungradable" for row in rows) > 0
    assert "validation QWK" in outcome.headline
    decision = Decision.from_dict(read_json(workplace / "validation" / "decision.json"))
    assert decision.fitted_on == {
        "split": "validation",
        "splits_sha256": sha256_file(workplace / "splits.csv"),
        "fold": "0",
    }
    logits = np.array([[float(row[f"logit{grade}"]) for grade in range(5)] for row in rows])
    assert decision.apply(logits).grade.tolist() == [int(row["predicted_locked"]) for row in rows]
    confusion = np.zeros((5, 5), dtype=int)
    for row in rows:
        confusion[int(row["grade"]), int(row["predicted"])] += 1
    assert confusion.tolist() == report["confusion"]


def test_no_figures_of_both_eyes_where_params_ask_for_none(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workplace / "params.yaml"
    path.write_text(path.read_text().replace("two_eye_fusion: true", "two_eye_fusion: false"))
    validate.run(validate_arguments(workplace))
    assert "two_eye_fusion" not in read_json(workplace / "validation.json")["validation"]["tiny"]
    args = opening_arguments(workplace, monkeypatch)
    test_stage.run(args)
    assert "two_eye_fusion" not in read_json(args.report)["test"]


def test_validate_twice_gives_the_same_bytes(workplace: Path) -> None:
    names = ("validation.json", "validation/predictions.csv", "validation/decision.json")
    validate.run(validate_arguments(workplace))
    first = [(workplace / name).read_bytes() for name in names]
    validate.run(validate_arguments(workplace))
    assert [(workplace / name).read_bytes() for name in names] == first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"splits_sha256": "0" * 64}, "another split"),
        ({"candidate": "other"}, "another candidate"),
        ({"fold": 1}, "another fold"),
        ({"pixel_path": {"version": 0}}, "another pixel path"),
    ],
)
def test_validate_refuses_an_export_of_other_data(workplace: Path, change: dict[str, object], words: str) -> None:
    path = workplace / "export" / "export.json"
    write_json(path, read_json(path) | change)
    with pytest.raises(GateError, match=words):
        validate.run(validate_arguments(workplace))
    assert not (workplace / "validation.json").exists()


def test_validate_names_a_missing_canvas(workplace: Path) -> None:
    index = workplace / "canvases" / "index.csv"
    rows = [row for row in read_csv(index) if row["image_id"] != "001-left"]
    write_csv(index, CANVAS_INDEX.columns, rows)
    with pytest.raises(DataError, match="001-left"):
        validate.run(validate_arguments(workplace))


def test_test_grades_with_the_bundle_and_counts_openings(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    validate.run(validate_arguments(workplace))
    args = opening_arguments(workplace, monkeypatch)
    outcome = test_stage.run(args)
    report = json.loads(args.report.read_text())["test"]
    assert (report["n"], report["openings"]) == (60, 1)
    assert report["baselines"]["majority_grade"]["qwk"]["value"] == 0
    fusion = read_json(workplace / "validation.json")["validation"]["tiny"]["two_eye_fusion"]
    assert report["two_eye_fusion"]["weight"] == fusion["weight"]
    ungradable = sum(row["status"] == "ungradable" for row in read_csv(args.predictions))
    assert report["two_eye_fusion"]["n"] == 60 - 2 * ungradable < 60
    assert report["baselines"]["other_photograph_of_patient"]["qwk"]["value"] == 1
    assert "undefined" in report["baselines"]["geometry"]["note"]  # all canvases were made alike
    assert report["screening"]["ungradable"] == ungradable
    screened = report["screening"]["intention_to_screen"]["referable_sensitivity"]
    assert screened["value"] >= report["referable_sensitivity"]["value"]
    # The network weighs mean colours, which a mirror does not change.
    assert {"entropy", "closeness_to_cut", "spread_of_views"} < set(report["uncertainty"]["wrong_grade"])
    assert report["agreement"]["linear_kappa"]["n"] == 60
    rows_of = {tuple(row["value"]): row for row in report["subgroups"]["rows"]}
    assert {value: row["n"] for value, row in rows_of.items()} == {
        **dict.fromkeys([("near",), ("far",), ("left",), ("right",), ("near", "left"), ("far", "right")], 30)
    }
    assert rows_of["near",]["figures"]["ungradable"]["value"] == pytest.approx(ungradable / 30)
    assert report["subgroups"]["whole"]["qwk"] == {key: report["qwk"][key] for key in ("value", "low", "high", "n")}
    assert report["repeatability"]["pairs"] == 0
    validation = read_json(workplace / "validation.json")["validation"]["tiny"]
    assert validation["calibration"]["ships"] == "temperature"
    assert "opening 1" in outcome.headline
    rows = read_csv(args.predictions, version=1)
    assert all(row["predicted"] == row["predicted_locked"] for row in rows)
    test_stage.run(args)
    assert json.loads(args.report.read_text())["test"]["openings"] == 2


def test_test_refuses_a_decision_that_saw_the_test_split(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    validate.run(validate_arguments(workplace))
    args = opening_arguments(workplace, monkeypatch, split="test")
    with pytest.raises(GateError, match="not on validation"):
        test_stage.run(args)
    assert not args.openings.exists()


def test_test_refuses_another_split(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    validate.run(validate_arguments(workplace))
    args = opening_arguments(workplace, monkeypatch, splits_sha256="0" * 64)
    with pytest.raises(GateError, match="another division"):
        test_stage.run(args)
