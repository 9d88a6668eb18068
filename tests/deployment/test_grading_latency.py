import dataclasses
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline import cli, machine
from dr_pipeline.deployment.grading_latency import Latency, measure
from dr_pipeline.errors import GateError
from dr_pipeline.files import write_json
from dr_pipeline.machine import describe_machine, require_same_machine
from dr_pipeline.tables.manifest import MANIFEST
from dr_pipeline.tables.splits import SPLITS
from tests.factories import REPOSITORY
from tests.factories.bundles import DECISION, GRADABILITY, export_json, onnx_model, photograph
from tests.factories.csv_files import write_csv

SYNTHETIC = REPOSITORY / "params.yaml"


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the graded work moves."""
    now = [0]
    monkeypatch.setattr("time.perf_counter_ns", lambda: now[0])
    return now


def _grader(clock, ms_of):
    graded = []

    def grade(path, lap):
        graded.append(path)
        for step, share in (("read", 0.25), ("network", 0.75)):
            clock[0] += int(ms_of(len(graded) - 1) * share * 1e6)
            lap(step)

    return grade, graded


def test_percentiles_are_of_whole_gradings_after_the_warm_up(clock):
    grade, graded = _grader(clock, lambda index: 10_000 if index < 3 else index - 2)  # 1, 2, … 100 ms
    latency = measure(grade, [Path("a"), Path("b")], warmup=3, count=100)
    assert len(graded) == 103
    assert (latency.p50_ms, latency.p95_ms, latency.p99_ms) == (51.0, 96.0, 100.0)
    assert latency.n == 100
    assert latency.photographs == 2
    assert latency.steps_ms == pytest.approx({"read": 50.5 * 0.25, "network": 50.5 * 0.75})


def test_photographs_are_begun_again_where_there_are_too_few(clock):
    grade, graded = _grader(clock, lambda index: 1)
    paths = [Path(name) for name in "abc"]
    assert measure(grade, paths, warmup=1, count=9).photographs == 3
    assert Counter(graded[1:]) == dict.fromkeys(paths, 3)
    grade, graded = _grader(clock, lambda index: 1)
    assert measure(grade, paths, warmup=1, count=2).photographs == 2


def test_time_between_laps_is_counted():
    def grade(path, lap):
        time.sleep(0.01)
        lap("slow")
        lap("fast")

    latency = measure(grade, [Path("a")], warmup=1, count=10)
    assert latency.p50_ms >= 10
    assert latency.steps_ms["slow"] >= 10 > latency.steps_ms["fast"]


def test_json_says_batch_and_number():
    value = Latency(60, 60, 1.23456, 2.0, 3.0, {"read": 0.123456}).to_dict()
    assert value["batch"] == 1
    assert value["n"] == 60
    assert value["p50_ms"] == 1.235
    assert value["steps_ms"] == {"read": 0.123}


def test_the_machine_is_described_quickly_and_with_the_same_bytes(tmp_path):
    start_s = time.perf_counter()
    first, second = describe_machine(), describe_machine()
    assert time.perf_counter() - start_s < 0.4
    assert first == second
    for name in ("a.json", "b.json"):
        assert cli.main(["machine", "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize(
    ("name", "value"), [("usable_cores", lambda: 97), ("installed_version", lambda package: "0"), ("_cpu_model", str)]
)
def test_another_machine_has_another_fingerprint(monkeypatch, name, value):
    here = describe_machine()["fingerprint"]
    monkeypatch.setattr(machine, name, value)
    assert describe_machine()["fingerprint"] != here


def test_a_cpu_and_its_gpus_are_read_from_the_systems_files(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Fast CPU 9000\n\nprocessor\t: 1\nmodel name\t: Fast CPU 9000\n")
    assert machine._cpu_model(cpuinfo) == "Fast CPU 9000"
    gpu = tmp_path / "gpus" / "0000:01:00.0"
    gpu.mkdir(parents=True)
    (gpu / "information").write_text("Model: \t\t NVIDIA H200\nIRQ:   \t\t 0\nGPU UUID: \t GPU-secret\n")
    assert machine._gpu_models(tmp_path / "gpus") == ["NVIDIA H200"]
    assert machine._gpu_models(tmp_path / "none") == []


def test_a_description_of_another_machine_is_refused(tmp_path, monkeypatch):
    write_json(tmp_path / "machine.json", describe_machine())
    assert require_same_machine(tmp_path / "machine.json") == describe_machine()
    monkeypatch.setattr(machine, "usable_cores", lambda: 97)
    with pytest.raises(GateError, match="usable_cores"):
        require_same_machine(tmp_path / "machine.json")


@pytest.fixture
def stage(tmp_path):
    """What the latency stage reads, and its arguments."""
    model = onnx_model()
    root = tmp_path / "photographs"
    root.mkdir()
    rows, splits = [], []
    for index in range(6):
        (root / f"{index}.jpg").write_bytes(photograph(index))
        empty = dict.fromkeys(MANIFEST.columns, "") | {"role": "all"}
        facts = {"schema_version": MANIFEST.version, "image_id": f"i{index}", "path": f"{index}.jpg"}
        rows.append(empty | facts | {"width": 316, "height": 276, "excluded": 0})
        fold = {"split": "development", "fold": index % 2} if index < 4 else {"split": "test", "fold": ""}
        facts = {"schema_version": SPLITS.version, "image_id": f"i{index}", "group": f"g{index}", "grade": 1}
        splits.append(dict.fromkeys(SPLITS.columns, "") | facts | fold)
    write_csv(tmp_path / "audited.csv", MANIFEST.columns, rows)
    write_csv(tmp_path / "splits.csv", SPLITS.columns, splits)
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "model.onnx").write_bytes(model)
    write_json(tmp_path / "export" / "export.json", export_json(model))
    write_json(tmp_path / "validation" / "decision.json", DECISION.to_dict())
    write_json(tmp_path / "machine.json", describe_machine())
    write_json(tmp_path / "gradability.json", GRADABILITY.to_dict())
    arguments = ["latency", "--candidate", "tiny", "--params", SYNTHETIC, "--root", root]
    for name in ("audited.csv", "splits.csv", "export", "validation", "machine.json", "gradability.json"):
        arguments += [f"--{name.partition('.')[0]}", tmp_path / name]
    return tmp_path, [str(word) for word in [*arguments, "--report", tmp_path / "report.json"]]


def test_the_stage_measures_what_score_does_on_validation_photographs_only(stage, monkeypatch, capsys):
    folder, arguments = stage
    read = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or real(path))
    assert cli.main(arguments) == 0
    figures = json.loads((folder / "report.json").read_text())["latency"]["tiny"]
    assert {name for name in read if name.endswith(".jpg")} == {"0.jpg", "2.jpg"}  # fold 0
    assert set(figures["steps_ms"]) == {"read", "hash", "pixel_path", "network", "decision"}
    assert figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    assert figures["machine"] == describe_machine()["fingerprint"]
    assert (figures["batch"], figures["threads"], figures["photographs"]) == (1, 1, 2)
    assert figures["median_megapixels"] == pytest.approx(0.087)
    assert np.isclose(sum(figures["steps_ms"].values()), figures["p50_ms"], rtol=0.5)
    assert "p95" in capsys.readouterr().out


def test_the_stage_refuses_another_machine_and_a_broken_photograph(stage, monkeypatch, capsys):
    folder, arguments = stage
    (folder / "photographs" / "2.jpg").write_bytes(b"broken")
    assert cli.main(arguments) == 2
    assert "2.jpg" in capsys.readouterr().err
    write_json(folder / "machine.json", describe_machine() | {"cpu": "another"})
    assert cli.main(arguments) == 2
    assert "dvc repro" in capsys.readouterr().err
    assert not (folder / "report.json").exists()


def test_latency_has_a_place_for_every_field():
    assert {field.name for field in dataclasses.fields(Latency)} - {"steps_ms"} <= set(
        Latency(1, 1, 1.0, 1.0, 1.0, {}).to_dict()
    )
