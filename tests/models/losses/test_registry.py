"""The registry of losses: names for params.yaml, implementations by name, and a loss from outside the package."""

from pathlib import Path

import pytest
import torch

from dr_pipeline.code_version import module_hashes
from dr_pipeline.errors import ParamsError
from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.losses import loss_class
from dr_pipeline.models.losses.loss import Loss
from dr_pipeline.params.losses import LOSSES
from dr_pipeline.params.params_file import load_section
from dr_pipeline.params.training import Training
from tests.factories import REPOSITORY
from tests.factories.training import PARAMS, section, train


@pytest.mark.parametrize("name", LOSSES)
def test_each_name_has_an_implementation_that_the_code_version_of_export_covers(name: str) -> None:
    implementation = loss_class(name)
    assert issubclass(implementation, Loss)
    path = f"{implementation.__module__.removeprefix('dr_pipeline.').replace('.', '/')}.py"
    assert path in module_hashes("dr_pipeline.stages.export")


def params_with(loss: str, folder: Path) -> Path:
    written = folder / "params.yaml"
    written.write_text((REPOSITORY / "params.yaml").read_text().replace("loss: soft_ordinal", f"loss: {loss}"))
    return written


def test_an_unknown_loss_is_refused_with_the_registered_names(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"'cross_entropy', 'focal', .* or 'soft_kappa', found 'hinge'"):
        load_section(params_with("hinge", tmp_path), "training", Training)


def test_a_loss_from_outside_trains_and_gives_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "absolute_error", "tests.factories.absolute_error:AbsoluteError")
    objective = load_section(params_with("absolute_error", tmp_path), "training", Training).objective
    trained = train(tmp_path, params=section(PARAMS, "objective", **objective.model_dump()))
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    grader = create_grader("mobilenetv3_small_050", input_px=32, drop_rate=0.0, drop_path_rate=0.0, loss=objective.loss)
    logits = grader.eval()(torch.zeros(2, 32, 32, 3, dtype=torch.uint8))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()
