"""An export format is one class and one registration; each passes the same gate, and a failure is a row."""

import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.cli import main
from dr_pipeline.deployment.candidate_formats import unwritten_formats, written_formats
from dr_pipeline.deployment.export_formats import (
    REPORT,
    FormatFigures,
    FormatLimits,
    FormatRow,
    FormatStatus,
    export_formats,
    format_table,
    refusal,
)
from dr_pipeline.deployment.export_variants import export_variants
from dr_pipeline.deployment.format_source import Deployed, calibration_sample, read_deployed
from dr_pipeline.deployment.format_speed import Speed
from dr_pipeline.deployment.formats import FORMATS, FormatSource, Logits, onnx_int8
from dr_pipeline.deployment.formats.onnx_graph import OnnxGraph
from dr_pipeline.deployment.parity import Parity, Tolerance
from dr_pipeline.errors import DataError, GateError, ParamsError
from dr_pipeline.evaluation.inference import canvas_logits
from dr_pipeline.files import read_json, sha256_file, write_json
from dr_pipeline.tables.splits import SplitRow

pytestmark = pytest.mark.slow

QUICK = FormatLimits(calls=20, replicates=100)
KEPT, REFUSED, FAILED = FormatStatus.KEPT, FormatStatus.REFUSED, FormatStatus.FAILED


def candidate(root: Path, **changes: Any) -> Deployed:
    paths = {"decision": root / "validation" / "decision.json", "canvases": root / "canvases"}
    return read_deployed(root / "export", **(paths | {"splits": root / "splits.csv"} | changes))


def by_name(rows: list[FormatRow]) -> dict[str, FormatRow]:
    return {row.name: row for row in rows}


class Shifted(OnnxGraph):
    """Decides differently from the network."""

    name = "shifted.onnx"

    def load(self, path: Path, *, threads: int) -> Logits:
        logits = super().load(path, threads=threads)
        return lambda inputs: np.roll(logits(inputs), 1, axis=1)


class Raising(OnnxGraph):
    """Fails as a converter may."""

    def write(self, source: FormatSource, path: Path) -> None:
        raise RuntimeError("no kernel for HardSwish\nand much more")


def test_float32_formats_decide_as_the_network_does(single: Path, tmp_path: Path) -> None:
    names = ["onnx", "pt2", "safetensors", "hf"]
    rows = by_name(export_formats(candidate(single), names, tmp_path, QUICK))
    for name in names:
        row = rows[name]
        assert (row.status, row.reason) == (KEPT, "")
        assert row.figures is not None
        parity = row.figures.parity
        assert (parity.n, parity.changed_grades, parity.changed_referrals) == (20, 0, 0)
        assert parity.max_probability_difference < 1e-4
        assert row.figures.qwk == rows["onnx"].figures.qwk  # type: ignore[union-attr]
        assert row.figures.qwk_difference["value"] == 0
        assert 0 < row.figures.speed.p50_ms <= row.figures.speed.p95_ms
    report = read_json(tmp_path / REPORT)
    assert [entry["status"] for entry in report["formats"]] == ["kept"] * 4
    assert report["machine"]["fingerprint"]
    lines = format_table(list(rows.values())).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [[name, "kept"] for name in names]

    pixels = np.random.default_rng(3).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    decision = candidate(single).decision
    reference = OnnxModel(single / "export" / "model.onnx", threads=1).logits(pixels)
    expected = decision.apply(reference).probabilities
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert np.allclose(session.run(["probabilities"], {"image": pixels})[0], expected, atol=1e-5)
    program = torch.export.load(tmp_path / "model.pt2").module()
    assert np.allclose(program(torch.from_numpy(pixels))[1].detach().numpy(), expected, atol=1e-5)

    network = timm.create_model(f"local-dir:{tmp_path / 'hf'}", pretrained=True).eval()
    settings = timm.data.resolve_model_data_config(network)
    assert settings["input_size"] == (3, 32, 32)
    mean, std = (torch.tensor(settings[name]).view(-1, 1, 1) for name in ("mean", "std"))
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        assert np.allclose(network((planes - mean) / std).numpy(), reference, atol=1e-4)
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert config["temperature"] == decision.temperature
    assert "Not a medical device" in config["intended_use"]


@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO: absent")
def test_openvino_decides_alike_and_sends_nothing(single: Path, tmp_path: Path) -> None:
    (row,) = export_formats(candidate(single), ["openvino"], tmp_path, QUICK)
    assert (row.status, row.reason) == (KEPT, "")
    assert {path.name for path in (tmp_path / "openvino").iterdir()} == {"model.xml", "model.bin"}
    assert str(tmp_path) not in (tmp_path / "openvino" / "model.xml").read_text()
    script = (
        "import sys; from dr_pipeline.deployment.formats.openvino_ir import import_openvino; import_openvino(); "
        "print([name for name, module in sys.modules.items() if name.startswith('openvino_telemetry') and module])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_what_fails_or_decides_differently_is_a_row(
    single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "shifted", f"{__name__}:Shifted")
    monkeypatch.setitem(FORMATS, "raising", f"{__name__}:Raising")
    monkeypatch.setitem(sys.modules, "openvino", None)
    rows = by_name(
        export_formats(candidate(single), ["raising", "shifted", "openvino", "onnx-int8", "onnx"], tmp_path, QUICK)
    )
    assert rows["onnx"].status == KEPT
    assert (rows["raising"].status, rows["raising"].reason) == (FAILED, "RuntimeError: no kernel for HardSwish")
    assert rows["shifted"].status == REFUSED
    assert "grades (allowed 0.0%)" in rows["shifted"].reason
    assert rows["openvino"].reason == "OpenVINO is not installed; pip install 'dr-pipeline[openvino]'"
    assert "at least 300 training photographs; given 20" in rows["onnx-int8"].reason
    assert sorted(path.name for path in tmp_path.iterdir()) == [REPORT, "model.onnx"]
    assert f"raising failed: {rows['raising'].reason}" in format_table(list(rows.values()))


def test_no_format_kept_is_an_error(single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "shifted", f"{__name__}:Shifted")
    with pytest.raises(GateError, match="no format was kept: shifted refused"):
        export_formats(candidate(single), ["shifted"], tmp_path, QUICK)
    assert read_json(tmp_path / REPORT)["formats"][0]["figures"]["parity"]["n"] == 20
    with pytest.raises(ParamsError, match="unknown export format 'tflite'; known: onnx"):
        export_formats(candidate(single), ["tflite"], tmp_path, QUICK)


def test_an_ensemble_goes_where_it_can(weighted: Path, tmp_path: Path) -> None:
    splits = read_json(weighted / "export" / "export.json")["splits_sha256"]
    fitted_on = {"split": "validation", "splits_sha256": splits, "fold": "0"}
    write_json(tmp_path / "decision.json", Decision(0.7, (0.5, 1.5, 2.5, 3.5), 0.5, 0.1, fitted_on).to_dict())
    deployed = candidate(weighted, decision=tmp_path / "decision.json")
    rows = by_name(export_formats(deployed, ["safetensors", "hf"], tmp_path / "out", QUICK))
    assert rows["safetensors"].status == KEPT
    assert rows["hf"].reason.startswith("the folder holds one network on one view; this candidate has 2 on 3")


def test_the_verb_prints_the_rows(single: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", str(single / "export"), "--formats", "onnx,safetensors", "--out", str(tmp_path / "out")]
    paths = ["--canvases", str(single / "canvases"), "--splits", str(single / "splits.csv")]
    assert main([*words, *paths, "--decision", str(single / "validation" / "decision.json")]) == 0
    printed = capsys.readouterr().out
    assert "safetensors    kept" in printed
    assert "Not a medical device" in printed
    assert main([*words, *paths]) == 2
    assert main(["export", "--out", str(tmp_path / "out")]) == 2
    assert main(["export", str(single / "export"), "--out", str(tmp_path / "out")]) == 2


def test_what_does_not_belong_together_is_refused(single: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a bundle's folder"):
        read_deployed(tmp_path, decision=None, canvases=single / "canvases", splits=single / "splits.csv")
    other = tmp_path / "splits.csv"
    other.write_text((single / "splits.csv").read_text() + "\n")
    with pytest.raises(GateError, match="other canvases or another split"):
        candidate(single, splits=other)
    fitted = read_json(single / "validation" / "decision.json")
    for key, value in (("fold", "1"), ("split", "a clinic's photographs")):
        write_json(tmp_path / "decision.json", fitted | {"fitted_on": fitted["fitted_on"] | {key: value}})
        with pytest.raises(GateError, match="not fitted on the validation photographs"):
            candidate(single, decision=tmp_path / "decision.json")


SPEED = Speed(200, 5.0, 6.0, 200.0, {"value": 1.8, "low": 1.7, "high": 1.9, "n": 200})
FIGURES = FormatFigures(
    megabytes=4.0,
    parity=Parity(100, 2, 0.05, 1),
    qwk={"value": 0.9, "low": 0.85, "high": 0.95, "n": 100},
    qwk_difference={"value": 0.001, "low": -0.01, "high": 0.01, "n": 100},
    speed=SPEED,
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"qwk_difference": FIGURES.qwk_difference | {"low": -0.011}}, r"lower end -0.0110 \(n = 100\)"),
        ({"qwk_difference": FIGURES.qwk_difference | {"low": None}}, "undefined"),
        ({"speed": replace(SPEED, speedup=SPEED.speedup | {"low": 1.0})}, "not faster here: 1.80 times"),
        ({"parity": Parity(100, 6, 0.05, 0)}, r"6 of 100 grades \(allowed 5.0%\)"),
        ({"parity": Parity(100, 0, 0.05, 3)}, r"3 referrals \(allowed 2.0%\)"),
        ({"parity": Parity(100, 0, math.nan, 0)}, "differ by up to nan"),
    ],
)
def test_a_quantised_format_is_kept_within_the_declared_margins_and_if_faster(
    changes: dict[str, Any], words: str
) -> None:
    reason = refusal(replace(FIGURES, **changes), exact=False, limits=FormatLimits())
    assert re.search(words, reason) if words else not reason


def test_a_float32_format_may_be_slow_but_changes_nothing() -> None:
    slow = replace(SPEED, speedup=SPEED.speedup | {"value": 0.3, "low": 0.2})
    assert not refusal(replace(FIGURES, parity=Parity(100, 0, 1e-6, 0), speed=slow), exact=True, limits=FormatLimits())
    assert refusal(replace(FIGURES, parity=Parity(100, 1, 1e-6, 0)), exact=True, limits=FormatLimits())
    assert refusal(replace(FIGURES, parity=Parity(100, 0, 2e-4, 0)), exact=True, limits=FormatLimits())
    wide = FormatLimits(tolerance=Tolerance(1.0, 1.0, 1.0))
    assert refusal(replace(FIGURES, parity=Parity(100, 1, 1e-6, 0)), exact=True, limits=wide)


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("ab")), min_size=1, max_size=60), st.integers(1, 80))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_calibration_photographs_are_in_proportion_and_the_same_in_any_order(
    kinds: list[tuple[int, str]], count: int
) -> None:
    rows = [
        SplitRow(image_id=f"i{index}", group=f"g{index}", grade=grade, site=site, split="development", fold=1)
        for index, (grade, site) in enumerate(kinds)
    ]
    taken = calibration_sample(rows, count)
    assert taken == calibration_sample(rows[::-1], count)
    assert len({row.image_id for row in taken}) == len(taken) == min(count, len(rows))
    for kind in set(kinds):
        share = len(taken) * kinds.count(kind) / len(kinds)
        assert abs(sum((row.grade, row.site) == kind for row in taken) - share) < 1 + 1e-9


def variants(root: Path, out: Path, *names: str) -> list[Any]:
    """The variants of a copy of the exported candidate."""
    shutil.copytree(root / "export", out)
    return export_variants(out, CanvasStore(root / "canvases"), root / "splits.csv", names, calibration=16)


def test_a_variant_is_a_candidate_like_any_other(single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_int8, "MAX_ERROR", 1.0)
    int8, half = variants(single, tmp_path / "export", "onnx-int8", "onnx-fp16")
    assert written_formats(tmp_path / "export") == ["", "onnx-fp16", "onnx-int8"]
    for variant, precision in ((int8, "int8"), (half, "float16")):
        folder = tmp_path / "export" / variant.name
        described = read_json(folder / "export.json")
        assert (described["format"], described["precision"]) == (variant.name, precision)
        assert described["parity"]["n"] == variant.parity.n == 20
        assert described["onnx_sha256"] == sha256_file(folder / "model.onnx")
        model = OnnxModel(folder / "model.onnx", threads=1)
        assert model.precision == precision
        ids = [row.image_id for row in candidate(single).validation]
        before = OnnxModel(single / "export" / "model.onnx", threads=1)
        logits = [
            canvas_logits(network.logits, CanvasStore(single / "canvases"), ids, 32) for network in (before, model)
        ]
        assert 0 < np.abs(logits[0] - logits[1]).max() < 0.5
    assert read_json(tmp_path / "export" / "onnx-int8" / "export.json")["calibration"] == 16
    again = export_variants(
        tmp_path / "export", CanvasStore(single / "canvases"), single / "splits.csv", ["onnx-fp16"], calibration=16
    )
    assert [variant.name for variant in again] == ["onnx-fp16"]
    assert written_formats(tmp_path / "export") == ["", "onnx-fp16"]


def test_a_variant_that_cannot_be_written_is_a_row(
    single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no kernel\nand much more")

    monkeypatch.setattr("dr_pipeline.deployment.export_variants.quantise", fail)
    int8, half = variants(single, tmp_path / "export", "onnx-int8", "onnx-fp16")
    assert int8.refusal == "onnx-int8 was not written: no kernel"
    assert half.refusal == ""
    assert written_formats(tmp_path / "export") == ["", "onnx-fp16"]
    (facts,) = unwritten_formats(tmp_path / "export").values()
    assert facts["refusal"] == int8.refusal
    assert not (tmp_path / "export" / "onnx-int8" / "model.onnx").exists()


def test_an_ensemble_of_fitted_weights_has_no_int8_variant(weighted: Path, tmp_path: Path) -> None:
    (variant,) = variants(weighted, tmp_path / "export", "onnx-int8")
    assert "an ensemble with fitted weights (weighted)" in variant.refusal
