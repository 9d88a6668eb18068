"""The exported model is the trained one."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.deployment.ensemble_members import read_members
from dr_pipeline.deployment.parity import MAX_PROBABILITY_DIFFERENCE, Parity, compare_logits, require_parity
from dr_pipeline.errors import GateError
from tests.factories.trained_folds import ensemble, pixels

pytestmark = pytest.mark.slow


def test_pixels_in_logits_out_any_batch(single: Path) -> None:
    (member,) = read_members(single / "models", ensemble(), fold=0, folds=(0,)).all
    path = single / "export" / "model.onnx"
    model = onnx.load(path)
    assert [item.name for item in model.graph.input] == ["image"]
    assert [item.name for item in model.graph.output] == ["logits", "probabilities"]
    assert b".py" not in path.read_bytes()  # the exporter notes source lines, with the machine's paths
    onnx.checker.check_model(model, full_check=True)
    shipped = OnnxModel(path, threads=1)
    for batch in (1, 2, 5):
        with torch.inference_mode():
            reference = member.grader(torch.from_numpy(pixels(batch))).numpy()
        parity = compare_logits(reference, shipped.logits(pixels(batch)))
        assert parity.n == batch
        require_parity(parity, where="test")


def test_parity_counts_changed_grades() -> None:
    one = np.array([[5.0, 0, 0, 0, 0], [0, 0, 5.0, 0, 0]], dtype=np.float32)
    other = np.array([[5.0, 0, 0, 0, 0], [0, 0, 0, 5.0, 0]], dtype=np.float32)
    assert compare_logits(one, one) == Parity(2, 0, 0.0)
    parity = compare_logits(one, other)
    assert parity.changed_grades == 1
    with pytest.raises(GateError, match="1 of 2 grades"):
        require_parity(parity, where="model.onnx")


def test_a_drift_without_changed_grades_is_refused_too() -> None:
    with pytest.raises(GateError, match="probabilities differ"):
        require_parity(Parity(10, 0, 2 * MAX_PROBABILITY_DIFFERENCE), where="model.onnx")
    with pytest.raises(GateError):
        require_parity(Parity(10, 0, float("nan")), where="model.onnx")
