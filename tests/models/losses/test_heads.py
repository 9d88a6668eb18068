"""From outputs to logits of the five grades."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.models.losses.coral import CoralHead
from dr_pipeline.models.losses.regression import RegressionHead
from dr_pipeline.params.losses import LOSSES
from tests.factories.training import make_head, num_outputs

pytestmark = pytest.mark.slow

GRADES = torch.arange(5.0)


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_logits_are_finite_precise_and_five(loss: str, dtype: torch.dtype) -> None:
    extremes = torch.tensor([-1e4, -50.0, -1.0, 0.0, 1.0, 50.0, 1e4], dtype=dtype)
    outputs = torch.cartesian_prod(*[extremes] * num_outputs(loss)).reshape(-1, num_outputs(loss))
    logits = make_head(loss)(outputs)
    assert logits.shape == (len(outputs), 5)
    assert logits.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.isfinite(logits).all()
    probabilities = logits.softmax(1)
    torch.testing.assert_close(probabilities.sum(1), torch.ones_like(probabilities[:, 0]))


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "soft_kappa"])
def test_five_outputs_are_the_logits(loss: str) -> None:
    outputs = torch.randn(3, 5)
    assert torch.equal(make_head(loss)(outputs), outputs)


def test_regression_is_the_squared_distance_to_each_grade() -> None:
    logits = make_head("regression")(torch.tensor([[1.5], [-1.0]]))
    assert logits.tolist() == [[-2.25, -0.25, -0.25, -2.25, -6.25], [-1.0, -4.0, -9.0, -16.0, -25.0]]


@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
def test_the_expected_grade_rises_with_the_regression_output(temperature: float) -> None:
    outputs = torch.linspace(-1, 5, 601, dtype=torch.float64)[:, None]
    logits = RegressionHead()(outputs) / temperature
    steps = (logits.softmax(1) * GRADES).sum(1).diff()
    assert (steps >= 0).all()
    assert (steps[50:-50] > 0).all()  # far outside, the coldest distribution has all its mass on one grade
    middle = (RegressionHead()(torch.full((1, 1), 2.0)).softmax(1) * GRADES).sum()
    assert middle.item() == pytest.approx(2.0)


def test_corn_multiplies_conditional_probabilities() -> None:
    outputs = torch.tensor([[0.3, -1.2, 2.0, 0.1], [-3.0, 0.0, 0.5, 4.0]], dtype=torch.float64)
    probabilities = make_head("corn")(outputs).exp()
    for row, found in zip(outputs.tolist(), probabilities.tolist(), strict=True):
        goes_on = [sigmoid(value) for value in row] + [0.0]
        expected = [np.prod(goes_on[:grade]) * (1 - goes_on[grade]) for grade in range(5)]
        assert found == pytest.approx(expected)


def test_coral_takes_differences_of_cumulative_probabilities() -> None:
    head = CoralHead().double()
    torch.nn.init.normal_(head.raw_gaps)
    outputs = torch.tensor([[-2.0], [0.0], [1.3]], dtype=torch.float64)
    for cumulative, logits in zip(head.cumulative(outputs).tolist(), head(outputs).tolist(), strict=True):
        above = [1.0, *map(sigmoid, cumulative), 0.0]
        assert np.exp(logits) == pytest.approx(-np.diff(above))


def test_coral_starts_with_equal_probabilities() -> None:
    assert CoralHead()(torch.zeros(1, 1)).exp().tolist()[0] == pytest.approx([0.2] * 5, rel=1e-5)


@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3),
    st.floats(-1e4, 1e4, width=32),
    st.floats(-1e4, 1e4, width=32),
)
def test_coral_stays_ordered_for_all_parameters(raw_gaps: list[float], first_bias: float, output: float) -> None:
    head = CoralHead()
    with torch.no_grad():
        head.raw_gaps.copy_(torch.tensor(raw_gaps))
        head.first_bias.fill_(first_bias)
    outputs = torch.tensor([[output]])
    assert (head.cumulative(outputs).diff(dim=1) < 0).all()
    logits = head(outputs)
    assert torch.isfinite(logits).all()
    # probabilities already, before the softmax; the rounding of outputs of ±10 000 is a thousandth
    assert logits.exp().sum().item() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("loss", ["corn", "coral"])
def test_ordinal_logits_are_logarithms_of_probabilities(loss: str) -> None:
    outputs = torch.randn(20, num_outputs(loss), dtype=torch.float64) * 3
    torch.testing.assert_close(make_head(loss)(outputs).exp().sum(1), torch.ones(20, dtype=torch.float64))


@pytest.mark.parametrize("loss", ["cross_entropy", "regression", "corn", "coral"])
def test_a_head_exports_to_onnx(loss: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    head, width = make_head(loss).eval(), num_outputs(loss)
    written = tmp_path / "head.onnx"
    torch.onnx.export(
        head, (torch.zeros(2, width),), written, input_names=["outputs"], output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},), opset_version=20, dynamo=True, verbose=False,
    )  # fmt: skip
    outputs = torch.cat([torch.randn(50, width) * 4, torch.full((1, width), 1e4), torch.full((1, width), -1e4)])
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"outputs": outputs.numpy()})
    np.testing.assert_allclose(logits, head(outputs).detach().numpy(), rtol=1e-5, atol=1e-5)
