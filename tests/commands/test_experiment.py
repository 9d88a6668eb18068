"""The command from photographs to picture, its canvases, and that it goes on where it stopped."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.commands import experiment as command
from dr_pipeline.errors import DataError, EnvironmentProblem, ParamsError
from dr_pipeline.experiments import mlflow_view as tracked
from dr_pipeline.experiments import outer_fold
from dr_pipeline.experiments.enhanced_canvases import canvases_of
from dr_pipeline.files import read_csv, read_json, sha256_file, write_json
from dr_pipeline.fundus.enhancement import ENHANCEMENTS
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.tables.canvas_index import CANVAS_INDEX
from dr_pipeline.tables.readings import READINGS
from tests.factories.csv_files import write_csv
from tests.factories.drawings import draw_fundus, encode
from tests.factories.experiments import REPOSITORY, made_report, write_photographs

pytestmark = pytest.mark.slow

SMALL = ("candidate.model=mobilenetv3_small_050", "candidate.input_px=32", "candidate.epochs=1")
ENSEMBLE = ("candidate.ensemble.seeds=2", "candidate.ensemble.views=[identity, mirror]")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    write_photographs(folder, num_patients=30)
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["evaluation"]["bootstrap_replicates"] = 100
    params["candidates"]["lite0"]["weights"] = "none"
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


def arguments(folder: Path, place: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    paths = {"params": folder / "params.yaml", "audited": folder / "audited.csv", "canvases": folder / "canvases"}
    paths |= {name: place / name for name in ("scratch", "predictions", "out")}
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    values = [word for value in SMALL for word in ("--set", value)]
    return parser.parse_args(["cross_validation", "--candidate", "lite0", "--folds", "2", *words, *values, *more])


def test_a_killed_experiment_goes_on_and_a_finished_one_trains_nothing(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, trained = outer_fold.train_network, []

    def killed(*args: Any, **kwargs: Any) -> Any:
        if len(trained) == 3:  # the second seed of the second fold
            raise KeyboardInterrupt
        trained.append(args[3].seed)
        return train(*args, **kwargs)

    args = arguments(photographs, tmp_path, *(word for value in ENSEMBLE for word in ("--set", value)))
    monkeypatch.setattr(outer_fold, "train_network", killed)
    with pytest.raises(KeyboardInterrupt):
        command.run(args)
    ledger = args.out / "openings.jsonl"
    assert list(args.out.iterdir()) == [ledger]  # the first fold was opened, and that stays so
    opened = ledger.read_bytes()
    trained[:] = ["the first fold is kept"]
    outcome = command.run(args)
    assert len(trained) == 3
    report = read_json(args.out / "cross_validation.json")
    assert (report["folds"], report["configurations_tried"], report["configurations_opened"]) == (2, 1, 1)
    assert [len(facts["best_epochs"]) for facts in report["arms"][0]["trainings"]] == [2, 2]
    assert report["arms"][0]["figures"]["n"] == 60
    assert {path.name for path in outcome.wrote} == {
        "cross_validation.json",
        "cross_validation.csv",
        "cross_validation.png",
        "cross_validation-as_is.csv",
    }
    first = [path.read_bytes() for path in outcome.wrote]
    trained[:] = ["one", "two", "three"]  # any training would be killed
    assert [path.read_bytes() for path in command.run(args).wrote] == first
    assert ledger.read_bytes() == opened
    line = json.loads(opened)
    assert (line["experiment"], line["arm"]) == ("cross_validation", "as_is")
    assert line["configuration"] == report["arms"][0]["trainings"][0]["configuration"]
    assert line["canvas_index_sha256"] == sha256_file(photographs / "canvases" / "index.csv")

    ledger.unlink()  # kept folds are opened for whoever uses them
    command.run(args)
    assert json.loads(ledger.read_bytes()) | {"utc": line["utc"]} == line
    other = json.dumps(line | {"code_sha256": "other code"})
    ledger.write_text(f"{ledger.read_text()}{other}\n")
    command.run(args)
    assert read_json(args.out / "cross_validation.json")["configurations_opened"] == 2


def test_the_arms_see_the_pixels_that_the_pixel_path_makes(tmp_path: Path) -> None:
    data = encode(draw_fundus(320, 240, 160, 120, 110), ".png")
    write_photographs(tmp_path, num_patients=5, canvases={"000-left": PixelPath(64).process(data).canvas})
    store = CanvasStore(tmp_path / "canvases")
    for arm in ENHANCEMENTS:
        enhanced = canvases_of(store, arm)
        assert np.array_equal(enhanced.read("000-left"), PixelPath(64, arm).process(data).canvas), arm
        assert enhanced.pixel_path == PixelPath(64, arm)
    assert not np.array_equal(store.read("000-left"), canvases_of(store, "clahe").read("000-left"))


def test_canvases_of_another_arm_cannot_be_compared(photographs: Path, tmp_path: Path) -> None:
    write_photographs(tmp_path, num_patients=5)
    path = PixelPath(64, "green")
    write_json(tmp_path / "canvases" / "pixel_path.json", path.to_dict() | {"fingerprint": path.fingerprint})
    store = CanvasStore(tmp_path / "canvases")
    assert canvases_of(store, "green") is store
    with pytest.raises(ParamsError, match="have the enhancement 'green'"):
        canvases_of(store, "none")


def test_what_cannot_run_is_said_before_anything_is_trained(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outer_fold, "train_network", lambda *_, **__: pytest.fail("trained"))
    args = arguments(photographs, tmp_path)
    args.name = "initialisation"  # params.yaml names no pretrained weights
    with pytest.raises(ParamsError, match="are the same"):
        command.run(args)
    with pytest.raises(ParamsError, match="no such arm: other"):
        command.run(arguments(photographs, tmp_path, "--arms", "as_is,other"))
    with pytest.raises(DataError, match="table is missing"):
        command.run(arguments(photographs, tmp_path, "--development", str(tmp_path / "none.csv")))
    monkeypatch.setattr("dr_pipeline.experiments.run_experiment.throughputs", lambda *_, **__: pytest.fail("timed"))
    args = arguments(photographs, tmp_path)
    args.out.mkdir()
    (args.out / "openings.jsonl").write_text("no JSON\n")
    with pytest.raises(DataError, match="ledger of opened configurations is damaged"):
        command.run(args)
    (args.out / "openings.jsonl").unlink()
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        with pytest.raises(EnvironmentProblem, match="one process"):
            command.run(arguments(photographs, tmp_path))
    write_photographs(tmp_path, num_patients=5)
    rows = read_csv(tmp_path / "canvases" / "index.csv")
    rows[0]["shard"] = ""
    write_csv(tmp_path / "canvases" / "index.csv", CANVAS_INDEX.columns, rows)
    args = arguments(photographs, tmp_path / "place")
    args.audited, args.canvases = tmp_path / "audited.csv", tmp_path / "canvases"
    with pytest.raises(DataError, match=r"1 photograph.* have no canvas: 000-left"):
        command.run(args)


def test_readings_come_from_the_usual_table_where_an_arm_learns_from_them(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[dict[str, list[int]]] = []

    def stop(*given: Any, **_: Any) -> None:
        found.append(given[1].context.readings)
        raise KeyboardInterrupt

    monkeypatch.setattr("dr_pipeline.experiments.run_experiment.run_experiment", stop)
    monkeypatch.chdir(tmp_path)
    agreement = ("--set", "training.reader_agreement=0.5")
    with pytest.raises(ParamsError, match=r"no data/readings\.csv") as caught:
        command.run(arguments(photographs, tmp_path, *agreement))
    assert caught.value.where == "--readings"
    rows = [{"schema_version": 1, "image_id": "000-left", "grader": name, "grade": 1} for name in ("a", "b")]
    rows = [dict.fromkeys(READINGS.columns, "") | row | {"schema_version": READINGS.version} for row in rows]
    write_csv(tmp_path / "data" / "readings.csv", READINGS.columns, rows)
    given = ("--readings", str(photographs / "readings.csv"))
    for words in (agreement, (), (*agreement, *given)):
        with pytest.raises(KeyboardInterrupt):
            command.run(arguments(photographs, tmp_path, *words))
    assert found == [{"000-left": [1, 1]}, {}, {}]


def test_a_tracker_that_fails_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DR_PIPELINE_TRACKING", "on")
    monkeypatch.setattr(tracked, "files_root", lambda _: 1 / 0)
    with caplog.at_level(logging.WARNING):
        tracked.show_in_mlflow(made_report({"a": 0.4})[0], [])
    assert "ZeroDivisionError" in caplog.text
