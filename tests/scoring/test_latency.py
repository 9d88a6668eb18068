import json
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline import cli, machine
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import sha256_file, write_json
from dr_pipeline.machine import describe_machine, energy_j, peak_memory_mib, read_energy, require_same_machine
from dr_pipeline.scoring.latency import Latency, _thread_counts, budget_sentence, measure
from dr_pipeline.scoring.latency_file import add_network, read_latency_file
from dr_pipeline.tables.manifest import MANIFEST
from dr_pipeline.tables.splits import SPLITS
from tests.factories import REPOSITORY
from tests.factories.bundles import DECISION, GRADABILITY, export_json, make_bundle, onnx_model, photograph
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
    figures = latency.to_dict()
    assert (figures["p50_ms"], figures["p95_ms"], figures["p99_ms"]) == (51.0, 96.0, 100.0)
    assert (figures["n"], figures["photographs"], figures["batch"], figures["mean_ms"]) == (100, 2, 1, 50.5)
    assert latency.steps_ms == pytest.approx({"read": 50.5 * 0.25, "network": 50.5 * 0.75})


def test_intervals_hold_the_percentiles_and_shrink_with_more_gradings(clock):
    """Of 1 … 100 ms once and ten times: the binomial interval of the median is 40 to 61 ms, √10 times as wide."""
    widths = []
    for repeats in (1, 10):
        grade, _ = _grader(clock, lambda index: index % 100 + 1)
        figures = measure(grade, [Path("a")], warmup=100, count=100 * repeats).to_dict()
        for key, interval in figures["interval_95"].items():
            assert interval["low"] <= figures[key] <= interval["high"]
        widths.append(figures["interval_95"]["p50_ms"]["high"] - figures["interval_95"]["p50_ms"]["low"])
    assert widths[0] == pytest.approx(20, abs=4)
    assert widths[1] == pytest.approx(20 / 10**0.5, abs=2)


def test_what_lies_between_decoding_and_the_network_is_preprocessing():
    laps = {"read": 1.0, "hash": 2.0, "decode": 4.0, "disc": 8.0, "quality": 16.0, "network": 32.0, "decision": 64.0}
    latency = Latency(1, np.array([127.0]), laps)
    assert list(latency.steps_ms.items()) == [
        ("read", 1.0),
        ("decode", 4.0),
        ("preprocess", 26.0),
        ("network", 32.0),
        ("decision", 64.0),
    ]
    assert latency.to_dict()["preprocess_ms"] == {"hash": 2.0, "disc": 8.0, "quality": 16.0}


@pytest.mark.parametrize(("cores", "counts"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8])])
def test_threads_double_until_all_cores(cores, counts):
    assert _thread_counts(cores) == counts


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
    assert latency.laps_ms["slow"] >= 10 > latency.laps_ms["fast"]


def test_memory_is_this_process_own():
    before = peak_memory_mib()
    held = np.ones(8 << 20)  # 64 MiB
    after = peak_memory_mib()
    assert before is not None
    assert after is not None
    assert 0 < before <= after
    assert after >= held.nbytes / 2**20


def test_energy_is_read_where_the_system_states_it(tmp_path):
    assert read_energy(tmp_path) == {}
    assert energy_j({}, {}) is None
    for name, energy_uj in (("intel-rapl:0", 900), ("intel-rapl:1", 5), ("intel-rapl:0:0", 7)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{energy_uj}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("999\n")
    before = read_energy(tmp_path)
    assert before == {"intel-rapl:0": (900, 999), "intel-rapl:1": (5, 999)}
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("100\n")  # it went over its end
    assert energy_j(before, read_energy(tmp_path)) == pytest.approx(200e-6)
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()  # as where only an administrator may read it
    assert read_energy(tmp_path) == {}
    assert energy_j(before, {}) is None


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
    write_json(tmp_path / "export" / "onnx-fp16" / "export.json", {"refusal": "not written"})
    shutil.copytree(tmp_path / "export", tmp_path / "export" / "onnx-int8", ignore=lambda *_: ["onnx-fp16"])
    write_json(tmp_path / "validation" / "onnx-int8" / "decision.json", DECISION.to_dict())
    write_json(tmp_path / "machine.json", describe_machine())
    write_json(tmp_path / "gradability.json", GRADABILITY.to_dict())
    arguments = ["latency", "--candidate", "tiny", "--params", SYNTHETIC, "--root", root]
    for name in ("audited.csv", "splits.csv", "export", "validation", "machine.json", "gradability.json"):
        arguments += [f"--{name.partition('.')[0]}", tmp_path / name]
    return tmp_path, [str(word) for word in [*arguments, "--report", tmp_path / "report.json"]]


def test_the_stage_measures_what_score_does_on_validation_photographs_only(stage, capsys):
    """Each format that was written; a photograph of another fold cannot be graded, and is not."""
    folder, arguments = stage
    for number in (1, 3, 4, 5):  # fold 0 has 0 and 2
        (folder / "photographs" / f"{number}.jpg").write_bytes(b"broken")
    assert cli.main(arguments) == 0
    measured = json.loads((folder / "report.json").read_text())["latency"]
    assert list(measured) == ["tiny", "tiny/onnx-int8"]
    figures = measured["tiny"]
    assert figures.keys() == measured["tiny/onnx-int8"].keys()
    assert set(figures["steps_ms"]) == {"read", "decode", "preprocess", "network", "decision"}
    assert set(figures["network_per_s"]) == {"1", "2", "4", "8", "16", "32"}
    assert str(figures["best_batch"]) == max(figures["network_per_s"], key=figures["network_per_s"].get)
    assert set(figures["by_threads"]) == {str(number) for number in _thread_counts(machine.usable_cores())}
    assert figures["peak_memory_mib"] > 20
    assert figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    assert figures["machine"] == describe_machine()["fingerprint"]
    assert (figures["batch"], figures["threads"], figures["photographs"], figures["n"]) == (1, 1, 2, 200)
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


@pytest.fixture
def clinic(tmp_path):
    """A folder of a clinic, with a file that is no photograph."""
    for number in range(4):
        (tmp_path / "photographs").mkdir(exist_ok=True)
        (tmp_path / "photographs" / f"{number}.jpg").write_bytes(photograph(number))
    (tmp_path / "photographs" / "notes.jpg").write_text("no photograph")
    return tmp_path


def _bench(folder, *words):
    return cli.main(["bench", "latency", str(folder / "photographs"), *map(str, words)])


def test_a_clinic_measures_a_bundle_and_a_candidate_into_one_file(clinic, capsys):
    stated = {"p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "n": 9, "threads": 1, "machine": "m", "budget_ms": 9000.0}
    bundle = make_bundle(clinic / "release", latency=stated)
    out = clinic / "clinic.json"
    assert _bench(clinic, "--bundle", bundle, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "keeps the budget of 9000 ms on this machine: p95" in printed
    assert "left out: 1 files" in printed
    other = onnx_model(seed=1)
    (clinic / "export").mkdir()
    (clinic / "export" / "model.onnx").write_bytes(other)
    write_json(clinic / "export" / "export.json", export_json(other))
    write_json(clinic / "validation" / "decision.json", DECISION.to_dict())
    write_json(clinic / "gradability.json", GRADABILITY.to_dict())
    candidate = ["--candidate", clinic / "export", clinic / "validation", clinic / "gradability.json"]
    assert _bench(clinic, *candidate, "--out", out, "--budget-ms", "0.001") == 0
    assert "over the budget of 0.001 ms" in capsys.readouterr().out
    measured = read_latency_file(out)
    assert set(measured.networks) == {sha256_file(clinic / name / "model.onnx") for name in ("release", "export")}
    assert measured.machine == describe_machine()
    assert len({figures["photographs_sha256"] for figures in measured.networks.values()}) == 1
    assert all((row["n"], row["photographs"]) == (200, 4) for row in measured.networks.values())
    assert out.stat().st_mode & 0o077 == 0
    assert ".jpg" not in out.read_text()


def test_a_file_of_another_machine_or_of_another_kind_is_refused_before_measuring(clinic, capsys, monkeypatch):
    bundle, out = make_bundle(clinic / "release"), clinic / "clinic.json"
    monkeypatch.setattr("dr_pipeline.scoring.latency.latency_figures", None)
    write_json(out, {"chosen": "lite0"})
    assert _bench(clinic, "--bundle", bundle, "--out", out) == 2
    assert "not a file of `bench latency`" in capsys.readouterr().err
    write_json(
        out,
        {
            "schema_version": 1,
            "machine": describe_machine() | {"fingerprint": "f", "cpu": "Z80"},
            "networks": {"a": FIGURES},
        },
    )
    assert _bench(clinic, "--bundle", bundle, "--out", out) == 2
    assert "another machine; other: cpu" in capsys.readouterr().err


FIGURES = dict.fromkeys(("mean_ms", "p50_ms", "p95_ms", "p99_ms"), 5.0) | {
    "n": 200,
    "threads": 1,
    "steps_ms": {"network": 1.0},
    "peak_memory_mib": 90.0,
    "photographs_sha256": "a" * 64,
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 9}, "version 9"),
        ({"machine": {}}, "states no machine"),
        ({"networks": {}}, "missing or malformed"),
        ({"networks": {"a": {}}}, "missing or malformed"),
        ({"networks": {"a": FIGURES | {"p95_ms": 0}}}, "missing or malformed"),
        ({"networks": {"a": FIGURES | {"p95_ms": "5"}}}, "missing or malformed"),
    ],
    ids=str,
)
def test_a_malformed_file_of_latencies_is_refused(tmp_path, change, said):
    path = tmp_path / "clinic.json"
    add_network(path, {"fingerprint": "f"}, "a", FIGURES)
    assert read_latency_file(path).networks == {"a": FIGURES}
    write_json(path, json.loads(path.read_text()) | change)
    with pytest.raises(DataError, match=said):
        read_latency_file(path)


@pytest.mark.parametrize("budget", ["0", "-1", "nan", "inf", "fast"])
def test_a_budget_must_be_above_zero(clinic, budget, capsys):
    with pytest.raises(SystemExit):
        _bench(clinic, "--bundle", "release", "--budget-ms", budget)
    assert "above 0" in capsys.readouterr().err


def test_without_photographs_or_a_bundle_nothing_is_measured(clinic, capsys):
    for path in (clinic / "photographs").glob("[0-9].jpg"):
        path.unlink()
    assert _bench(clinic, "--bundle", make_bundle(clinic / "release")) == 2
    assert "no photograph of a fundus among 1 files" in capsys.readouterr().err
    assert cli.main(["bench", "score", str(clinic), "--candidate", "a", "b", "c"]) == 2
    assert "--bundle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("budget_ms", "said"),
    [(None, "no latency budget"), (9, "over the budget"), (11, "just exceeded"), (13, "just kept"), (15, "keeps")],
)
def test_the_sentence_says_whether_the_budget_is_kept(budget_ms, said):
    figures = {"p95_ms": 12.0, "n": 200, "interval_95": {"p95_ms": {"low": 10.0, "high": 14.0}}}
    assert said in budget_sentence(figures, budget_ms)
