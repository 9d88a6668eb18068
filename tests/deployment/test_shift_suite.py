"""The suite on drawn photographs and a small bundle, by the whole path from bytes."""

import json
from pathlib import Path

import pytest

from dr_pipeline.bundle.metadata import short_hashes
from dr_pipeline.cli import main
from dr_pipeline.deployment.score_answers import answers_of
from dr_pipeline.deployment.shift_suite import FAMILIES, ShiftTask, score_shifted
from dr_pipeline.errors import DataError
from dr_pipeline.schema import RESEARCH_USE, Status
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.tables.shifts import read_shifts
from tests.factories.bundles import make_bundle, photograph


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made") / "release")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clinic")
    rows = ["image,grade,patient"]
    for number in range(8):
        (folder / f"{number}.jpg").write_bytes(photograph(number))
        rows.append(f"{number}.jpg,{number % 4},P{number // 2}")
    (folder / "broken.jpg").write_bytes(b"no photograph")
    (folder / "labels.csv").write_text("\n".join([*rows, "broken.jpg,2,P9", ""]), encoding="utf-8")
    return folder


def suite(bundle: Path, folder: Path, out: Path, *more: str) -> int:
    places = ["--photographs", str(folder), "--labels", str(folder / "labels.csv"), "--out", str(out)]
    return main(["shifts", str(bundle), *places, "--replicates", "100", "--workers", "1", *more])


def test_a_labelled_folder_gives_a_report_a_table_and_a_picture(
    bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suite(bundle, folder, tmp_path, "--family", "blur", "--family", "mixed", "--plot") == 0
    report = json.loads((tmp_path / "shifts.json").read_text(encoding="utf-8"))
    cameras = [(shift["family"], shift["level"]) for shift in report["shifts"] if shift["kind"] == "camera"]
    assert cameras == [(family, level) for family in ("blur", "mixed") for level in ("mild", "moderate", "severe")]
    assert (report["n"], report["groups"]) == (9, 5)
    assert sum(report["failed"].values()) == 1
    assert report["clean"]["unanswered"] == 1
    assert report["clean"]["all"]["qwk"]["n"] == 8
    rows = read_shifts(tmp_path / "shifts.csv")
    assert {row.kind for row in rows} == {"clean", "camera", "reader"}
    assert (tmp_path / "shifts.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert RESEARCH_USE in printed
    assert "1 could not be decoded" in printed


def test_what_the_bundle_was_developed_on_and_copies_are_in_no_figure(
    bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scorer = Scorer.from_bundle(bundle, threads=1)
    known = short_hashes([scorer.score(photograph(0)).pixel_hash])  # of patient P0, who has photograph 1 as well
    trained = make_bundle(tmp_path / "release", development_pixels=known)
    (folder / "copy.jpg").write_bytes((folder / "3.jpg").read_bytes())
    labels = (folder / "labels.csv").read_text(encoding="utf-8")
    try:
        (folder / "labels.csv").write_text(f"{labels}copy.jpg,3,P1\n", encoding="utf-8")
        assert suite(trained, folder, tmp_path, "--family", "jpeg") == 0
    finally:
        (folder / "labels.csv").write_text(labels, encoding="utf-8")
    report = json.loads((tmp_path / "shifts.json").read_text(encoding="utf-8"))
    assert report["left_out"] == {"seen": 1, "related": 1, "copies": 1}
    assert (report["n"], report["groups"]) == (7, 4)
    assert "1 that the bundle was developed on, 1 others of their patients, 1 copies" in capsys.readouterr().out


def test_a_bundle_is_not_measured_on_its_own_photographs_alone(
    bundle: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scorer = Scorer.from_bundle(bundle, threads=1)
    hashes = [scorer.score(photograph(number)).pixel_hash for number in (2, 4)]
    trained = make_bundle(tmp_path / "release", development_pixels=short_hashes(hashes))
    (tmp_path / "labels.csv").write_text("image,grade,patient\n2.jpg,2,P1\n3.jpg,3,P1\n4.jpg,0,P2\n", encoding="utf-8")
    places = ["--photographs", str(folder), "--labels", str(tmp_path / "labels.csv"), "--out", str(tmp_path)]
    assert main(["shifts", str(trained), *places, "--workers", "1", "--family", "jpeg"]) == 2
    assert "none of 3 photographs is new to the bundle: it was developed on 2 of them" in caplog.text
    assert "patients of 1" in caplog.text


def test_equal_seeds_give_equal_scores_and_the_first_is_that_of_the_file_itself(bundle: Path) -> None:
    scorer, data = Scorer.from_bundle(bundle, threads=1), photograph(3)
    task = ShiftTask(bundle)
    one, other = (score_shifted(scorer, data, task.shifts(), seed=5) for _ in range(2))
    assert one == other
    assert one[0] == scorer.score(data)
    assert len(one) == 1 + len(task.shifts()) == 1 + 3 * (len(FAMILIES) - 1) + 1  # a mirror has one level
    assert len({score.sha256 for score in one}) > 30  # the shifted files differ


def test_a_file_that_cannot_be_decoded_has_no_answer_under_any_shift(bundle: Path, folder: Path) -> None:
    scores = ShiftTask(bundle, ("blur",)).setup()(folder / "broken.jpg")
    assert scores is not None
    assert [score.status for score in scores] == [Status.FAILED] * 4
    assert answers_of(scores).answered.tolist() == [False] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--family", "x-ray"], "no camera model x-ray"), (["--site", "nowhere"], "nowhere")],
)
def test_unknown_models_and_sites_are_refused(
    bundle: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, arguments: list[str], message: str
) -> None:
    assert suite(bundle, folder, tmp_path, *arguments) == 2
    assert message in caplog.text
    assert not (tmp_path / "shifts.json").exists()


def test_labels_without_a_referable_grade_are_refused(bundle: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,grade\n0.jpg,0\n1.jpg,1\n", encoding="utf-8")
    task = ShiftTask(bundle, ("jpeg",))
    from dr_pipeline.deployment.shift_suite import evaluate_shifts
    from dr_pipeline.engines.in_process import InProcessEngine
    from dr_pipeline.intake.graded_files import read_graded_folder

    drawn = {"replicates": 100, "seed": 0, "confidence": 0.95}
    with InProcessEngine(task) as engine, pytest.raises(DataError, match="0 of 2 photographs"):
        evaluate_shifts(read_graded_folder(folder, tmp_path / "labels.csv"), task, engine, drawn)  # type: ignore[arg-type]
