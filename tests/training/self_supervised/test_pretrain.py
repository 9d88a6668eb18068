"""The self-supervised loop: it learns, resumes to the same bits, gives weights that a grader takes, and refuses."""

from pathlib import Path

import pytest
import torch

from dr_pipeline.errors import DataError, GateError, ParamsError
from dr_pipeline.files import sha256_file
from dr_pipeline.models.classifier import classifier_prefixes
from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.params.pretraining import Pretraining
from dr_pipeline.params.section import validate
from dr_pipeline.tables.pretraining import PretrainingRow
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.self_supervised.photographs import Photographs
from dr_pipeline.training.self_supervised.pretrain import PretrainedEncoder, initial_encoder, pretrain
from tests.factories.pretraining import MODEL, PX, photographs, section
from tests.factories.training import same

pytestmark = pytest.mark.slow


def ignore(_row: PretrainingRow) -> None:
    """For trainings whose epochs are not reported."""


def run(
    params: Pretraining, folder: Path, seen: Photographs | None = None, *, on_epoch=ignore, key: str = "key"
) -> PretrainedEncoder:
    return pretrain(params, initial_encoder(params), seen or photographs(), Checkpoint(folder, key), on_epoch=on_epoch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pretraining, PretrainedEncoder]:
    folder = tmp_path_factory.mktemp("pretrain")
    params = section(folder, epochs=6)
    return params, run(params, folder / "scratch")


def test_the_loss_falls_on_drawn_photographs(trained: tuple[Pretraining, PretrainedEncoder]) -> None:
    params, encoder = trained
    losses = [row.loss for row in encoder.history]
    assert len(losses) == params.epochs
    assert losses[-1] < losses[0] - 0.2
    assert all(row.spread > 0.5 for row in encoder.history)
    assert encoder.history[-1].learning_rate == pytest.approx(0)


def test_a_grader_takes_every_tensor_and_keeps_its_own_classifier(
    trained: tuple[Pretraining, PretrainedEncoder], tmp_path: Path
) -> None:
    params, encoder = trained
    path = tmp_path / "encoder.safetensors"
    write_tensors(encoder.tensors, path)
    grader = create_grader(MODEL, input_px=64, drop_rate=0.1, drop_path_rate=0.0)
    classifier = classifier_prefixes(grader.backbone)
    own = {name: t.clone() for name, t in grader.backbone.state_dict().items() if name.startswith(classifier)}
    line = initialise_weights(grader, model=MODEL, weights=f"file:{path}#{sha256_file(path)}")
    assert "missing" not in line
    loaded = grader.backbone.state_dict()
    assert loaded.keys() == encoder.tensors.keys() | own.keys()
    assert same({name: loaded[name] for name in encoder.tensors}, encoder.tensors)
    assert same({name: loaded[name] for name in own}, own)
    # it has been trained: the weights, not only the running statistics, are others than those it continued from
    before = initial_encoder(params).grader.backbone.state_dict()
    assert not torch.equal(encoder.tensors["conv1.0.weight"], before["conv1.0.weight"])


def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path: Path) -> None:
    def stop(row: PretrainingRow) -> None:
        if row.epoch == 0:
            raise KeyboardInterrupt

    params = section(tmp_path)
    whole = run(params, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(params, tmp_path / "stopped", on_epoch=stop)
    rows: list[PretrainingRow] = []
    resumed = run(params, tmp_path / "stopped", on_epoch=rows.append)
    assert [row.epoch for row in rows] == [1, 2]
    assert same(resumed.tensors, whole.tensors)
    assert [(row.loss, row.spread) for row in resumed.history] == [(row.loss, row.spread) for row in whole.history]
    other = run(params.model_copy(update={"seed": 8, "epochs": 1}), tmp_path / "other")
    assert other.history[0].loss != whole.history[0].loss


def test_a_collapse_is_an_error_and_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"collapse.*spread is 0\.000"):
        run(section(tmp_path), tmp_path / "scratch", photographs(black=True))
    assert not (tmp_path / "scratch" / "last.pt").exists()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_fewer_photographs_than_a_batch_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(DataError, match=f"found {count} photographs to learn from, and a batch has 8"):
        run(section(tmp_path), tmp_path / "scratch", photographs(count))


def test_weights_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    for weights, message in (
        (f"file:{tmp_path / 'none.safetensors'}", "the weights are missing"),
        ("package:nobodys-weights", "not installed"),
        (f"{section(tmp_path).weights}#00", "expected 00"),
    ):
        with pytest.raises(ParamsError, match=message):
            initial_encoder(section(tmp_path, weights=weights))
    with pytest.raises(DataError, match="another architecture"):
        initial_encoder(section(tmp_path, model="mobilenetv3_small_050", input_px=2 * PX))


def test_random_weights_are_refused_in_the_section(tmp_path: Path) -> None:
    values = section(tmp_path).model_dump()
    with pytest.raises(ParamsError, match="weights: name the weights to continue from"):
        validate(values | {"weights": "none"}, Pretraining, where="params.yaml")
