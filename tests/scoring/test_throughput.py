"""`bench score` measures real runs: its parts add up, and a folder without photographs is refused."""

from dataclasses import replace

import onnxruntime
import pytest

from dr_pipeline import cli
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.session import Device
from dr_pipeline.bundle.signature import make_keys, read_secret_key, sign_bundle
from dr_pipeline.scoring import throughput
from dr_pipeline.scoring.batched import BATCH
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.scoring.throughput import Throughput, measure_throughput
from tests.factories.bundles import make_bundle, photograph

pytestmark = pytest.mark.slow
STEPS = ["read", "decode", "disc", "canvas", "hashes", "text", "quality", "input", "network"]


def test_rates_and_costs_follow_from_the_times():
    measured = Throughput(
        files=100, photographs=10, workers=2, whole_s=5.0, pixel_path_s=0.03, network_s=0.01, steps_ms={}
    )
    assert measured.files_per_s == 20
    assert measured.ideal_per_s == pytest.approx(25)
    assert measured.cost_per_1000(0.36) == pytest.approx(0.005)
    beside = replace(measured, device=Device.CUDA)  # the GPU works beside the cores
    assert beside.ideal_per_s == pytest.approx(1 / 0.03)


def test_a_folder_is_measured_step_by_step(bundle, tmp_path, capsys):
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(photograph(number))
    (tmp_path / "notes.txt").write_text("no photograph")
    files = sorted(tmp_path.iterdir())
    measured = measure_throughput(bundle, tmp_path, files, limit=10, workers=2)
    assert (measured.files, measured.photographs, measured.workers) == (5, 4, 2)
    assert list(measured.steps_ms) == STEPS
    assert min(measured.whole_s, measured.pixel_path_s, measured.network_s) > 0
    assert sorted(tmp_path.iterdir()) == files  # nothing is left behind
    assert cli.main(["bench", "score", str(tmp_path), "--bundle", str(bundle), "--price-per-hour", "0.1"]) == 0
    printed = capsys.readouterr().out
    assert "5 files in " in printed
    assert "% of the ideal" in printed
    assert "1,000 files: " in printed
    assert all(f"  {step} " in printed for step in STEPS)


def test_a_folder_without_photographs_is_refused(bundle, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no photograph")
    assert cli.main(["bench", "score", str(tmp_path), "--bundle", str(bundle)]) == cli.EXIT_USER_ERROR
    assert "no photograph that can be decoded" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["score", "latency"])
def test_a_bundle_without_a_trusted_signature_is_not_run(tmp_path, capsys, what):
    pytest.importorskip("minisign", reason="the extra signing: absent")
    (tmp_path / "a.jpg").write_bytes(photograph(1))
    bundle = make_bundle(tmp_path / "bundle")
    for name in ("own", "other"):
        make_keys(tmp_path / name, "")
    command = ["bench", what, str(tmp_path), "--bundle", str(bundle), "--require-signature"]
    assert cli.main([*command, str(tmp_path / "own.pub")]) == cli.EXIT_USER_ERROR
    sign_bundle(read_bundle(bundle, threads=1), read_secret_key(tmp_path / "other", str))
    capsys.readouterr()
    assert cli.main([*command, str(tmp_path / "own.pub")]) == cli.EXIT_USER_ERROR
    assert "sign" in capsys.readouterr().err


def test_on_a_gpu_the_network_is_timed_in_batches_and_is_no_work_of_a_core(bundle, tmp_path, monkeypatch):
    """A processor stands in for the GPU: what is timed and how it is counted is the same."""
    (tmp_path / "a.jpg").write_bytes(photograph(1))
    load, devices, sides = Scorer.from_bundle, [], []

    def from_bundle(root, *, threads, device=Device.CPU):
        devices.append(device)
        scorer = load(root, threads=threads)
        logits = scorer.logits
        monkeypatch.setattr(scorer, "logits", lambda inputs: sides.append(len(inputs)) or logits(inputs))
        return scorer

    monkeypatch.setattr(Scorer, "from_bundle", from_bundle)
    monkeypatch.setattr(throughput, "_whole_run_s", lambda _bundle, _folder, device: devices.append(device) or 1.0)
    files = [tmp_path / "a.jpg"]
    measured = measure_throughput(bundle, tmp_path, files, limit=1, workers=1, device=Device.CUDA)
    assert devices == [Device.CPU, Device.CUDA, Device.CUDA]
    assert sides.count(BATCH) == 11  # the first is not counted
    assert list(measured.steps_ms) == STEPS[:-1]
    assert (measured.device, measured.network_s > 0) == (Device.CUDA, True)


def test_a_device_that_is_not_there_is_refused_before_anything_is_measured(bundle, tmp_path, capsys):
    (tmp_path / "a.jpg").write_bytes(photograph(1))
    command = ["bench", "score", str(tmp_path), "--bundle", str(bundle), "--device", "cuda"]
    assert cli.main(["bench", "latency", *command[2:]]) == cli.EXIT_USER_ERROR
    assert "use it with `bench score`" in capsys.readouterr().err
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        assert cli.main(command) == 0
        assert "network alone, on cuda beside it, " in capsys.readouterr().out
    else:
        assert cli.main(command) == cli.EXIT_USER_ERROR
        assert "this ONNX Runtime has no CUDA" in capsys.readouterr().err
    candidate = ["--candidate", "export", "validation", "gradability.json", "--require-signature", "key.pub"]
    assert cli.main(["bench", "latency", str(tmp_path), *candidate]) == cli.EXIT_USER_ERROR
    assert "a candidate has no signature" in capsys.readouterr().err
