"""`recalibrate`: the child bundle, its figures and table, and what is refused."""

import csv
import json
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline import cli
from dr_pipeline.bundle.metadata import short_hashes
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.reference import read_reference
from dr_pipeline.deployment import recalibrate_bundle as module
from dr_pipeline.deployment.class_shares import MAX_CONTRADICTION
from dr_pipeline.deployment.recalibrate_bundle import Options, Outcome, Site, logits_of
from dr_pipeline.engines.choice import EngineChoice, EngineName
from dr_pipeline.errors import BundleError, DataError, GateError
from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
from dr_pipeline.schema import RESEARCH_USE, Status
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.tables.recalibrated import read_recalibrated
from tests.factories.bundles import PIXEL_PATH, make_bundle, photograph
from tests.factories.drift import make_reference
from tests.factories.lesion_networks import colour_network

NUM = 60
OPTIONS = Options(
    OperatingPoint(target_referable_sensitivity=0.9, human_review_share=0.1),
    Evaluation(bootstrap_replicates=100, bootstrap_seed=3, confidence=0.95, two_eye_fusion=False),
    engine=EngineChoice(EngineName.IN_PROCESS),
)
Rows = list[tuple[str, str, str]]
ROWS: Rows = [(f"{number}.jpg", f"P{number // 2}", str(number % 5)) for number in range(NUM)]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for number in range(NUM):
        (folder / f"{number}.jpg").write_bytes(photograph(number))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no photograph")
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(
        tmp_path_factory.mktemp("made") / "release", reference=make_reference(), lesions=colour_network()
    )


def write_labels(path: Path, rows: Rows, header: tuple[str, ...] = ("image", "patient", "grade")) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def recalibrate(bundle: Path, photographs: Path, tmp_path: Path, rows: Rows, **changes: float) -> Outcome:
    labels = write_labels(tmp_path / "labels.csv", rows)
    site = Site(photographs, labels, {"key": "image", "grade": "grade", "patient_id": "patient"}, "west")
    return module.recalibrate_bundle(bundle, site, tmp_path / "child", replace(OPTIONS, **changes))


@pytest.fixture(scope="module")
def done(bundle: Path, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return recalibrate(bundle, photographs, tmp_path_factory.mktemp("done"), [*ROWS, ("broken.jpg", "P99", "0")])


def test_the_child_has_the_network_of_its_parent_and_another_decision(bundle: Path, done: Outcome) -> None:
    child, parent = done.child, read_bundle(bundle, threads=1)
    for name in ("model.onnx", "weights.safetensors", "lesions.onnx"):
        assert (child.root / name).read_bytes() == (bundle / name).read_bytes()
    assert child.bundle_id != parent.bundle_id
    assert child.decision != parent.decision
    assert child.decision.fitted_on["parent"] == parent.bundle_id
    assert child.decision.fitted_on["photographs"] == str(NUM)
    assert (child.pixel_path, child.gradability) == (parent.pixel_path, parent.gradability)
    recalibration = child.metadata["recalibration"]
    assert recalibration["parent"] == parent.bundle_id
    assert recalibration["by_status"] == {"scored": NUM, "failed": 1}
    assert len(recalibration["pixel_hashes"].split()) == NUM
    assert recalibration["patients"] == NUM // 2
    for figures in (recalibration["before"], recalibration["difference"], child.metadata["validation"]):
        assert figures["qwk"]["n"] == NUM
    card = (child.root / "MODEL_CARD.md").read_text()
    assert f"The parent, bundle {parent.bundle_id}" in card
    assert "of the site west" in card


def test_its_drift_reference_keeps_looks_and_drops_scores(bundle: Path, done: Outcome) -> None:
    parent, child = read_reference(bundle), read_reference(done.child.root)
    assert parent is not None
    assert child is not None
    assert parent.overall.measures.keys() - child.overall.measures.keys() == {"expected_grade", "referable_probability"}
    assert set(child.overall.rates) == {"rejected"}
    assert child.overall.measures["brightness"] == parent.overall.measures["brightness"]


def test_the_table_lists_every_labelled_photograph(done: Outcome) -> None:
    assert len(done.rows) == NUM + 1
    broken = next(row for row in done.rows if row.path == "broken.jpg")
    assert broken.status is Status.FAILED
    assert broken.reason
    assert broken.after is None
    used = [row for row in done.rows if row.after is not None]
    assert len(used) == NUM
    confusion = np.zeros((5, 5), int)
    for row in used:
        confusion[row.grade, row.after] += 1
    assert confusion.tolist() == done.report["after"]["confusion"]


def test_logits_are_those_of_the_network_up_to_a_constant(bundle: Path) -> None:
    scorer = Scorer.from_bundle(bundle, threads=1)
    data = photograph(3)
    inputs = model_input(PIXEL_PATH.process(data, find_text=False).canvas, scorer.input_px)[np.newaxis]
    difference = logits_of([scorer.score(data)], scorer.decision) - scorer.logits(inputs)
    assert difference == pytest.approx(np.broadcast_to(difference.mean(), (1, 5)), abs=1e-5)


def test_photographs_that_the_parent_was_trained_on_are_refused(photographs: Path, tmp_path: Path) -> None:
    pixels = PIXEL_PATH.process((photographs / "7.jpg").read_bytes(), find_text=False).pixel_hash
    known = make_bundle(tmp_path / "known", development_pixels=short_hashes([pixels]))
    with pytest.raises(DataError, match=r"was trained or fitted on these photographs: 7\.jpg"):
        recalibrate(known, photographs, tmp_path, ROWS)
    assert not (tmp_path / "child").exists()
    rest = [row for row in ROWS if row[0] != "7.jpg"]
    warnings = recalibrate(known, photographs, tmp_path, rest).warnings
    assert not any("does not state" in warning for warning in warnings)


def test_a_bundle_that_states_no_training_photographs_is_warned_of(done: Outcome) -> None:
    assert any("does not state which photographs it was trained on" in warning for warning in done.warnings)


def test_unknown_patients_are_warned_of(bundle: Path, photographs: Path, tmp_path: Path) -> None:
    rows = [(image, "unknown" if number < 6 else patient, grade) for number, (image, patient, grade) in enumerate(ROWS)]
    warnings = recalibrate(bundle, photographs, tmp_path, rows).warnings
    assert any("6 of 60 photographs are of unknown patients" in warning for warning in warnings)


def test_a_recalibrated_bundle_is_not_recalibrated_again(done: Outcome, photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=rf"itself recalibrated, from bundle {done.child.metadata['recalibration']['parent']}"
    ):
        recalibrate(done.child.root, photographs, tmp_path, ROWS)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, ("gone.jpg", "P1", "0")], r"labels without a photograph: gone\.jpg"),
        ([*ROWS[:-1], ("59.jpg", "P29", "5")], "a grade other than 0, 1, 2, 3, 4"),
        ([*ROWS, ("3.jpg", "P1", "4")], "named twice with different labels"),
        (ROWS[:49], "49 gradable photographs"),
        (
            [row for row in ROWS if row[2] != "4"] + [("4.jpg", "P2", "0"), ("9.jpg", "P4", "0")],
            "no gradable photograph of grade 4",
        ),
        ([(image, "P1", grade) for image, _, grade in ROWS], "too few patients"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    bundle: Path, photographs: Path, tmp_path: Path, rows: Rows, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        recalibrate(bundle, photographs, tmp_path, rows)
    assert not (tmp_path / "child").exists()


def test_one_photograph_under_two_names(bundle: Path, photographs: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(photographs, tmp_path / "site"))
    shutil.copy(folder / "3.jpg", folder / "copy.jpg")
    with pytest.raises(DataError, match=r"the same photograph with different grades: 3\.jpg \(grade 3\) and copy\.jpg"):
        recalibrate(bundle, folder, tmp_path, [*ROWS, ("copy.jpg", "P70", "0")])
    done = recalibrate(bundle, folder, tmp_path, [*ROWS, ("copy.jpg", "P1", "3")])
    assert done.report["photographs"] == NUM
    assert next(row for row in done.rows if row.path == "copy.jpg").reason == "the same pixels as 3.jpg"


def test_an_interval_that_is_too_wide_is_refused(bundle: Path, photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"wide, more than 0\.01[\s\S]*grade about \d+ photographs"):
        recalibrate(bundle, photographs, tmp_path, ROWS, max_width=0.01)
    assert not (tmp_path / "child").exists()


def test_nothing_is_overwritten(bundle: Path, photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "child").mkdir()
    (tmp_path / "child" / "x").touch()
    with pytest.raises(DataError, match="something here already"):
        recalibrate(bundle, photographs, tmp_path, ROWS)


def test_the_parent_and_the_label_table_are_not_written_over(
    bundle: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_labels(tmp_path / "west.csv", ROWS)
    before = labels.read_bytes()
    arguments = ["recalibrate", str(bundle), "--photographs", str(photographs), "--labels", str(labels), "--out"]
    assert cli.main([*arguments, str(tmp_path / "west")]) == 2  # its table would be west.csv
    assert "something here already" in capsys.readouterr().err
    assert labels.read_bytes() == before
    assert cli.main([*arguments, str(bundle / "child")]) == 2
    assert "inside the bundle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("image,grade\n0.jpg,0\n".encode("utf-16-le"), "not UTF-8"),  # without the mark that says so
        (b"PK\x03\x04\x14\x00", "a workbook of Excel or LibreOffice"),
        ("image,patient,grade\n0.jpg,Müller,0\n".encode("latin-1"), "not UTF-8"),
        (b"image,grade," + b"x" * 200_000, "not a CSV table"),
        (b"image_id,grade,bundle_id\n0,0,ab\n", "not of readers' grades"),
    ],
)
def test_a_table_that_holds_no_labels_is_a_sentence(
    bundle: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], table: bytes, said: str
) -> None:
    (tmp_path / "labels.csv").write_bytes(table)
    arguments = ["--photographs", str(photographs), "--labels", str(tmp_path / "labels.csv")]
    assert cli.main(["recalibrate", str(bundle), *arguments, "--out", str(tmp_path / "child")]) == 2
    assert said in capsys.readouterr().err


def test_command(bundle: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write_labels(tmp_path / "labels.csv", ROWS, ("Image", "who", "ICDR"))
    child = tmp_path / "child"
    arguments = [str(bundle), "--photographs", str(photographs), "--labels", str(labels), "--out", str(child)]
    assert cli.main(["recalibrate", *arguments, "--workers", "1"]) == 2
    assert "name its column by --grade-column" in capsys.readouterr().err
    columns = ["--grade-column", "ICDR", "--patient-column", "who"]
    assert cli.main(["recalibrate", *arguments, *columns, "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert "recalibrated on 60 photographs of 30 patients (60 labelled: 60 scored)" in shown
    assert RESEARCH_USE in shown
    table = tmp_path / "child.csv"
    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    assert len(read_recalibrated(table)) == NUM
    assert cli.main(["verify", str(child)]) == 0
    assert "fitted on recalibration, 60 photographs; its parent is bundle" in capsys.readouterr().out
    assert (
        cli.main(
            ["score", str(photographs), "--bundle", str(child), "--out", str(tmp_path / "p.csv"), "--workers", "1"]
        )
        == 0
    )


def test_class_shares(photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "shares.json"
    arguments = ["--photographs", str(photographs), "--class-shares", str(out), "--workers", "1"]
    confusion = (10 * np.eye(5)).tolist()
    stating = make_bundle(tmp_path / "stating", validation={"qwk": {"value": None, "n": 0}, "confusion": confusion})
    assert cli.main(["recalibrate", str(stating), *arguments]) == 0
    shares = json.loads(out.read_text())
    assert sum(shares["shares_here"].values()) == pytest.approx(1)
    assert (shares["photographs"], shares["not_graded"]) == (NUM, 1)
    assert shares["plausible"] == (shares["contradiction"] <= MAX_CONTRADICTION)
    (tmp_path / "few").mkdir()
    for name in (b"0.jpg", b"caf\xe9.jpg"):  # no table can hold the second name
        shutil.copy(photographs / "0.jpg", tmp_path / "few" / os.fsdecode(name))
    few = ["--photographs", str(tmp_path / "few"), "--class-shares", str(out), "--workers", "1"]
    assert cli.main(["recalibrate", str(stating), *few]) == 2
    assert "1 of 2 photographs are gradable; at least 50 are needed" in capsys.readouterr().err
    assert cli.main(["recalibrate", str(make_bundle(tmp_path / "silent")), *arguments]) == 2
    assert "does not state the grades" in capsys.readouterr().err
    assert cli.main(["recalibrate", str(stating), "--photographs", str(photographs)]) == 2
    assert "--labels and --out, or --class-shares" in capsys.readouterr().err
