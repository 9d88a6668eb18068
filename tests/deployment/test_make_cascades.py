"""From two candidates to a bundle of both in a row: exported, validated, selected by the rule, packed and read back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
import yaml
from onnx import TensorProto, helper, numpy_helper

from dr_pipeline import cli
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.verify import verify_weights
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.deployment.format_source import read_deployed
from dr_pipeline.deployment.make_cascades import CascadeData, Cascades, make_cascades
from dr_pipeline.deployment.selection_inputs import CandidatePaths
from dr_pipeline.errors import DataError
from dr_pipeline.files import read_json, sha256_file, write_json
from dr_pipeline.params.evaluation import Deployment, Evaluation, OperatingPoint
from dr_pipeline.params.params_file import load_section
from dr_pipeline.tables.graded import read_graded
from dr_pipeline.tables.manifest import ManifestRow, write_manifest
from dr_pipeline.tables.splits import read_splits
from tests.factories import trained_folds
from tests.factories.bundles import GRADABILITY, INPUT_PX, LATENCY, export_json

pytestmark = pytest.mark.slow

NAME = "red+all"
MS = {"red": 10.0, "all": 30.0, NAME: 15.0}


def colour_network(weights: list[float]) -> bytes:
    """uint8 (N, 32, 32, 3) → logits of a grade that rises by one with 40 steps of the weighted mean colour."""
    grades = np.arange(5, dtype=np.float32)
    slope = (np.array(weights, np.float32)[:, None] / 40) @ (4 * grades)[None]
    tensors = {"axes": np.array([1, 2], np.int64), "slope": slope, "base": -2 * grades**2 - 4 * grades}
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "axes"], ["colour"], keepdims=0),
        helper.make_node("MatMul", ["colour", "slope"], ["rising"]),
        helper.make_node("Add", ["rising", "base"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", INPUT_PX, INPUT_PX, 3])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 5]) for name in ("logits", "probabilities")]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "colour", [image], outputs, initializers)
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`red` sees one noisy channel, `all` three; the grade is in each channel's mean."""
    root = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(trained_folds, "NUM_PATIENTS", 180)
        trained_folds.write_data(root, folds=(0,), combined=trained_folds.SINGLE)
        params = yaml.safe_load((root / "params.yaml").read_text())
        params["candidates"] = dict.fromkeys(("red", "all"), params["candidates"]["tiny"])
        params["evaluation"]["two_eye_fusion"] = False
        (root / "params.yaml").write_text(yaml.safe_dump(params))
        hashes = {
            "splits_sha256": sha256_file(root / "splits.csv"),
            "canvas_index_sha256": sha256_file(root / "canvases" / "index.csv"),
        }
        for name, weights in (("red", [1.0, 0.0, 0.0]), ("all", [1 / 3, 1 / 3, 1 / 3])):
            model, export = colour_network(weights), root / "exports" / name
            export.mkdir(parents=True)
            (export / "model.onnx").write_bytes(model)
            tensors = {"weights": np.array(weights, np.float32)}
            (export / "weights.safetensors").write_bytes(safetensors.numpy.save(tensors))
            facts = export_json(model, candidate=name, weights=f"{name} weights", **hashes) | {"model": f"{name}_net"}
            facts["weights_sha256"] = sha256_file(export / "weights.safetensors")
            write_json(export / "export.json", facts)
            common = ["--params", "params.yaml", "--canvases", "canvases", "--splits", "splits.csv"]
            common += ["--gradability", "gradability.csv", "--export", str(export), "--out", f"validation/{name}"]
            report = f"reports/validation/{name}.json"
            assert cli.main(["validate", "--candidate", name, "--fold", "0", *common, "--report", report]) == 0
            write_json(root / "reports" / "latency" / f"{name}.json", {"latency": {name: times(name)}})
        rows = [ManifestRow(image_id=row.image_id, path="x") for row in read_splits(root / "splits.csv")]
        write_manifest(root / "audited.csv", rows)
        thresholds = GRADABILITY.to_dict()
        thresholds["fitted_on"] |= {"splits_sha256": hashes["splits_sha256"]}
        write_json(root / "gradability.json", thresholds)
    return root


def times(name: str) -> dict[str, Any]:
    ms = MS[name]
    return LATENCY | {"mean_ms": ms, "p50_ms": ms, "p95_ms": ms + 2, "steps_ms": {"network": ms - 8}}


def made(root: Path, out: Path, **changes: Any) -> Cascades:
    deployment = load_section(root / "params.yaml", "deployment", Deployment)
    return make_cascades(
        ("red", "all"),
        CandidatePaths(root / "exports", root / "validation", root / "reports/validation", root / "reports/latency"),
        CascadeData(CanvasStore(root / "canvases"), root / "splits.csv", root / "gradability.csv", 0),
        out,
        deployment=deployment.model_copy(update=changes),
        evaluation=load_section(root / "params.yaml", "evaluation", Evaluation),
        targets=load_section(root / "params.yaml", "operating_point", OperatingPoint),
    )


@pytest.fixture(scope="module")
def cascades(study: Path) -> Path:
    """The cascade of `study`, with the report that the stage writes."""
    found = made(study, study / "cascades")
    (pair,) = found.pairs
    assert (pair["small"], pair["large"], pair["name"], pair["reasons"]) == ("red", "all", NAME, [])
    document = {"pairs": found.pairs, "validation": found.validation, "latency": {NAME: times(NAME)}}
    write_json(study / "cascades.json", document)
    return study / "cascades" / NAME


def arguments(root: Path, verb: str, **others: str) -> list[str]:
    paths = {
        "exports": "exports",
        "validation": "validation",
        "validation-reports": "reports/validation",
        "latency": "reports/latency",
        "cascades": "cascades",
        "cascade-figures": "cascades.json",
    } | others
    return [verb, *(word for name, path in paths.items() for word in (f"--{name}", str(root / path)))]


def test_the_export_states_what_it_is(study: Path, cascades: Path) -> None:
    described = read_json(cascades / "export.json")
    assert described["parity"]["changed_grades"] == 0
    assert (described["model"], described["weights"]) == ("red_net + all_net", "red weights + all weights")
    assert described["parameters"] == 30
    ensemble = described["ensemble"]
    assert (ensemble["combine"], len(ensemble["members"])) == ("cascade", 2)
    assert 0 < ensemble["fitted"]["asked_share"] < 0.9
    assert len(read_graded(cascades / "predictions.csv")) == 120


def test_its_figures_are_of_routings_that_were_fitted_on_others(study: Path, cascades: Path) -> None:
    report = read_json(study / "cascades.json")["validation"][NAME]
    assert "each of these was combined without its own fifth" in report["fitted"]
    alone = read_json(study / "reports/validation/red.json")["validation"]["red"]
    assert report["qwk"]["value"] > alone["qwk"]["value"]


def test_it_is_selected_by_the_rule_packed_and_read_back(
    study: Path, cascades: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments(study, "select", params="params.yaml", report="selection.json")) == 0
    selection = json.loads((study / "selection.json").read_text())
    rows = {row["candidate"]: row for row in selection["candidates"]}
    assert (selection["chosen"], rows[NAME]["verdict"], rows[NAME]["format"]) == (NAME, "chosen", "cascade")
    assert rows[NAME]["p95_ms"] == 17.0
    assert selection["cascades"][0]["deployed"]
    others = {"selection": "selection.json", "gradability": "gradability.json", "canvases": "canvases"}
    others |= {"splits": "splits.csv", "statuses": "gradability.csv", "audited": "audited.csv", "out": "release"}
    assert cli.main(arguments(study, "package", **others)) == 0
    bundle = read_bundle(study / "release", threads=1)
    verify_weights(study / "release")
    assert bundle.model.is_cascade
    assert bundle.metadata["latency"]["p95_ms"] == 17.0
    assert "red grades, and all grades again" in bundle.metadata["description"]
    card = (study / "release" / "MODEL_CARD.md").read_text()
    assert "| two networks in a row | red grades; all grades again" in card
    assert not (study / "release" / "explain.onnx").exists()
    with pytest.raises(DataError, match="two networks in a row"):
        read_deployed(study / "release", decision=None, canvases=study / "canvases", splits=study / "splits.csv")


def test_what_its_own_time_does_not_bear_out_is_refused(study: Path, cascades: Path) -> None:
    document = read_json(study / "cascades.json")
    slow = {"latency": {NAME: times(NAME) | {"mean_ms": 40.0}}}
    write_json(study / "slow.json", document | slow)
    slow_files = {"params": "params.yaml", "report": "slow-selection.json", "cascade-figures": "slow.json"}
    assert cli.main(arguments(study, "select", **slow_files)) == 0
    row = read_json(study / "slow-selection.json")["candidates"][-1]
    assert (row["candidate"], row["verdict"]) == (NAME, "not deployable")
    assert "neither better than the large network alone nor as good in less time" in row["reasons"][0]


def test_without_cascades_nothing_is_compared_and_what_was_there_is_removed(study: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "old+pair").mkdir(parents=True)
    assert made(study, tmp_path / "out", cascades=False) == Cascades([], {})
    assert list((tmp_path / "out").iterdir()) == []
