"""The stage pretrain, from files to files: outputs, what is left out, and no name of a photograph in any of them."""

import logging
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from dr_pipeline.cli import EXIT_USER_ERROR, main
from dr_pipeline.files import read_json, sha256_file
from dr_pipeline.params.root import load_params
from dr_pipeline.tables.pretraining import read_pretraining
from tests.factories import REPOSITORY
from tests.factories.drawings import draw_fundus, jpeg, with_tissue
from tests.factories.experiments import write_photographs
from tests.factories.pretraining import MODEL, section

pytestmark = pytest.mark.slow

EXAMPLE = (REPOSITORY / "docs" / "how-to" / "pretrain.md").read_text(encoding="utf-8").split("```yaml\n")[1]
OUTPUTS = ("encoder.safetensors", "history.csv", "report.json")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DR_PIPELINE_TRACKING", "off")
    write_photographs(tmp_path, num_patients=15)
    return tmp_path


def write_params(**changes: object) -> None:
    document = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    own = section(Path.cwd(), epochs=2, photographs="canvases", **changes).model_dump(mode="json")
    Path("params.yaml").write_text(yaml.safe_dump(document | {"pretraining": {"own": own}}))


def run() -> int:
    inputs = ["--params", "params.yaml", "--canvases", "canvases", "--audited", "audited.csv", "--splits", "splits.csv"]
    outputs = ["--out", OUTPUTS[0], "--history", OUTPUTS[1], "--report", OUTPUTS[2], "--scratch", "scratch"]
    return main(["pretrain", "--name", "own", "--fold", "0", *inputs, *outputs])


def test_it_writes_encoder_history_and_report(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_params()
    assert run() == 0
    shown = capsys.readouterr()
    sha256 = sha256_file(Path(OUTPUTS[0]))
    assert f"next: set weights: file:{OUTPUTS[0]}#{sha256} of a candidate with the model {MODEL}" in shown.out
    assert "20 photographs to learn from; left out: 10 test or validation part" in shown.err
    assert not [name for name in load_file(OUTPUTS[0]) if name.startswith("fc.")]
    history = read_pretraining(Path(OUTPUTS[1]))
    assert [row.epoch for row in history] == [0, 1]
    figures = read_json(Path(OUTPUTS[2]))["pretraining"]["own"]
    assert (figures["photographs"], figures["left_out"]) == (20, {"test or validation part": 10})
    assert (figures["sha256"], figures["loss"]) == (sha256, history[-1].loss)
    assert "Not a medical device" in figures["research_use"]
    assert not (workplace / "scratch" / "pretrain-own" / "last.pt").exists()


def test_a_folder_is_read_and_no_name_is_shown(
    workplace: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (workplace / "archive").mkdir()
    for number in range(3):
        picture = with_tissue(draw_fundus(300, 300, 150, 150, 140, seed=number), number)
        (workplace / "archive" / f"Erika Mustermann {number}.jpg").write_bytes(jpeg(picture))
    write_params()
    text = Path("params.yaml").read_text().replace("photographs: canvases", "photographs: archive")
    Path("params.yaml").write_text(text)
    with caplog.at_level(logging.INFO):
        assert run() == 0
    shown = capsys.readouterr()
    assert "23 photographs to learn from" in shown.err
    for said in (shown.out, shown.err, caplog.text, *(Path(name).read_text() for name in OUTPUTS[1:])):
        assert "Mustermann" not in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "file:gone.safetensors"}, "the weights are missing"),
        ({"weights": "none"}, "pretraining.own: weights: name the weights"),
        ({"batch_photographs": 50}, "found 20 photographs to learn from, and a batch has 50"),
    ],
)
def test_bad_input_is_one_message(
    workplace: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], message: str
) -> None:
    write_params()
    document = yaml.safe_load(Path("params.yaml").read_text())
    document["pretraining"]["own"] |= changes
    Path("params.yaml").write_text(yaml.safe_dump(document))
    assert run() == EXIT_USER_ERROR
    shown = capsys.readouterr().err
    for words in message.split(": ", 1):
        assert words in shown
    assert not Path(OUTPUTS[0]).exists()


def test_the_example_of_the_documents_is_a_valid_section(tmp_path: Path) -> None:
    document = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    example = yaml.safe_load(EXAMPLE.split("```")[0])
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document | example))
    assert load_params(tmp_path / "params.yaml").pretraining["lite0"].model == "tf_efficientnet_lite0"
    assert document["pretraining"] == {}
