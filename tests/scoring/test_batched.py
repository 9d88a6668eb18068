"""One network for all workers, which grades in batches: the rows are those of a network in each worker."""

import numpy as np
import onnxruntime
import pytest

from dr_pipeline import cli
from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.bundle.session import Device, OnnxModel
from dr_pipeline.engines.in_process import InProcessEngine
from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.schema import Status
from dr_pipeline.scoring import batched
from dr_pipeline.scoring.batched import BatchedEngine
from dr_pipeline.scoring.sources.listing import list_entries
from dr_pipeline.scoring.task import PreparationTask, ScoringTask
from tests.factories.bundles import photograph


@pytest.fixture
def clinic(tmp_path):
    root = tmp_path / "clinic"
    root.mkdir()
    for number in range(5):
        (root / f"{number}.jpg").write_bytes(photograph(number))
    (root / "2b.jpg").write_text("no picture")
    (root / "4b.jpg").write_bytes(photograph(4)[:400])
    return root


@pytest.fixture
def task(bundle):
    return ScoringTask(bundle, identify_bundle(bundle).bundle_id)


def _scores(engine, folder):
    with engine:
        return list(engine.results(list_entries((str(folder),))))


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_scores_are_those_of_one_network_per_worker(clinic, task, batch, monkeypatch):
    monkeypatch.setattr(batched, "BATCH", batch)
    alone = _scores(InProcessEngine(task), clinic)
    together = _scores(BatchedEngine(task, InProcessEngine(PreparationTask(task)), "cpu"), clinic)
    assert [entry for entry, _ in together] == [entry for entry, _ in alone]
    assert [score.status for _, score in alone].count(Status.FAILED) == 2
    for (_, one), (_, other) in zip(alone, together, strict=True):
        assert (other.status, other.reason, other.sha256, other.pixel_hash) == (
            one.status,
            one.reason,
            one.sha256,
            one.pixel_hash,
        )
        assert (one.grading is None) == (other.grading is None)
        if one.grading and other.grading:
            assert other.grading.grade == one.grading.grade
            assert other.grading.probabilities == pytest.approx(one.grading.probabilities, abs=1e-6)


def test_a_device_that_fails_ends_the_run_with_what_to_do(clinic, task, monkeypatch):
    engine = BatchedEngine(task, InProcessEngine(PreparationTask(task)), "cpu")

    def full(self: OnnxModel, inputs: np.ndarray) -> np.ndarray:
        if len(inputs) > 4:  # the self-test's batch
            raise RuntimeError("CUDA failure 2: out of memory\nat ...")
        return np.zeros((len(inputs), 5), np.float32)

    with engine:
        monkeypatch.setattr(OnnxModel, "logits", full)
        with pytest.raises(EnvironmentProblem, match=r"(?s)out of memory.*--resume"):
            list(engine.results(list_entries((str(clinic),))))


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is here, not absent")
def test_without_cuda_nothing_is_scored_on_the_cpu_instead(clinic, bundle, tmp_path, capsys):
    out = tmp_path / "rows.csv"
    assert cli.main(["score", str(clinic), "--bundle", str(bundle), "--out", str(out), "--device", "cuda"]) == 2
    assert "onnxruntime-gpu" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(EnvironmentProblem, match="no CUDA"):
        OnnxModel(bundle / "model.onnx", threads=1, device=Device.CUDA)
