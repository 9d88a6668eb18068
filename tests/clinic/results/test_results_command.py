"""`dr-pipeline results` end to end: from photographs to tables, FHIR and a server."""

import json
from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.files import read_csv
from dr_pipeline.fundus.decode import decode
from dr_pipeline.intake.dicom_headers import pseudonym
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.scoring.sources.people import PeopleSources
from dr_pipeline.tables.predictions import PREDICTIONS, write_predictions
from dr_pipeline.tables.result_eyes import RESULT_EYES
from dr_pipeline.tables.result_patients import RESULT_PATIENTS
from dr_pipeline.tables.result_photographs import RESULT_PHOTOGRAPHS
from tests.clinic.results.test_roll_up import hand_worked
from tests.factories.bundles import make_bundle, photograph
from tests.factories.dicom import PATIENT, dicom
from tests.factories.fhir_server import fhir_server
from tests.factories.predictions import predictions
from tests.factories.scoring import score_in_process

pytestmark = pytest.mark.slow


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows, _ = predictions((case["patient"], case["visit"], case["photographs"]) for case in hand_worked())
    write_predictions(tmp_path / "p.csv", rows)
    return tmp_path / "p.csv"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    rows, _ = predictions([("P", "1", "R0 L2h"), ("P", "2", "Ru L0"), ("Q", "", "?0"), ("R", "", "R4")])
    write_predictions(tmp_path / "small.csv", rows)
    return tmp_path / "small.csv"


def test_scored_photographs_become_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "clinic"
    folder.mkdir()
    for number, name in enumerate(["P1_left_1", "P1_right_1", "P2_left_1", "P2_none_1", "P3_right_1"]):
        (folder / f"{name}.jpg").write_bytes(photograph(number))
    (folder / "P3_left_1.jpg").write_bytes(b"no picture")
    (folder / "people.csv").write_text("path,birth_date\nP1_left_1.jpg,1950\nP1_right_1.jpg,1951\n")
    people = PeopleSources(None, "{patient}_{eye}_{visit}.*", "")
    score_in_process(folder, make_bundle(tmp_path / "release"), tmp_path / "p.csv", people=people)
    out = tmp_path / "out"
    arguments = ["results", str(tmp_path / "p.csv"), "--out", str(out), "--people", str(folder / "people.csv")]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr()
    assert RESEARCH_USE in printed.out
    assert "P1" not in printed.out + printed.err
    patients = {row.patient_id: row for row in RESULT_PATIENTS.read(out / "patients.csv")}
    assert patients["P1"].reasons == "birth_dates_differ"
    assert patients["P2"].decision == "rescreen" or patients["P2"].any_referable
    assert patients["P3"].left == "missing"
    photographs = RESULT_PHOTOGRAPHS.read(out / "photographs.csv")
    assert len(photographs) == len(PREDICTIONS.read(tmp_path / "p.csv"))
    assert RESULT_EYES.read(out / "eyes.csv")


def test_headers_of_two_people_with_one_id_and_of_a_contradictory_eye_get_no_decision(tmp_path: Path) -> None:
    folder = tmp_path / "clinic"
    folder.mkdir()
    people = {
        "A_left.dcm": {"PatientID": "77", "PatientBirthDate": "19500201", "ImageLaterality": "L"},
        "B_right.dcm": {"PatientID": "77", "PatientBirthDate": "19620201", "ImageLaterality": "R"},
        "C_left.dcm": {"PatientID": "88", "PatientBirthDate": "19500201", "ImageLaterality": "R"},
        "D_left.dcm": {"PatientID": "99", "PatientBirthDate": "19500201", "ImageLaterality": "L"},
        "E_right.dcm": {"PatientID": "99", "PatientBirthDate": "19500201", "ImageLaterality": "R"},
    }
    for number, (name, header) in enumerate(people.items()):
        pixels = decode(photograph(number), canvas_px=256).pixels
        (folder / name).write_bytes(dicom(pixels, **PATIENT | header | {"StudyDate": "20240131"}))
    sources = PeopleSources(None, "*_{eye}.*", "salt")
    score_in_process(folder, make_bundle(tmp_path / "release"), tmp_path / "p.csv", people=sources)
    assert "1950" not in (tmp_path / "p.csv").read_text(encoding="utf-8")
    assert cli.main(["results", str(tmp_path / "p.csv"), "--out", str(tmp_path / "out")]) == 0
    patients = {row.patient_id: row.reasons for row in RESULT_PATIENTS.read(tmp_path / "out" / "patients.csv")}
    expected = {"77": "birth_dates_differ", "88": "eye_unknown"}
    for patient_id, reason in expected.items():
        assert patients.pop(pseudonym(patient_id, salt="salt")) == reason
    assert not {"birth_dates_differ", "eye_unknown"} & set(patients.pop(pseudonym("99", salt="salt")).split(";"))


def test_the_outputs_are_private_and_reconcile(table: Path, tmp_path: Path) -> None:
    out, fhir = tmp_path / "out", tmp_path / "fhir.ndjson"
    assert cli.main(["results", str(table), "--out", str(out), "--fhir", str(fhir), "--texts", "zh"]) == 0
    assert out.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in [*out.iterdir(), fhir]} == {0o600}
    summary = json.loads((out / "results.json").read_text(encoding="utf-8"))
    tables = {name: read_csv(out / f"{name}.csv") for name in ("photographs", "eyes", "patients")}
    assert summary["photographs"] == len(tables["photographs"]) == sum(summary["photographs_by_use"].values())
    assert summary["examinations"] == len(tables["patients"]) == sum(summary["examinations_by_decision"].values())
    assert len(tables["eyes"]) == sum(summary["eyes_by_status"].values())
    assert summary["research_use"] == RESEARCH_USE
    assert all("译文未经审核" in row["text"] for row in tables["patients"])
    ids = [json.loads(line)["id"] for line in fhir.read_text(encoding="utf-8").splitlines()]
    assert len(ids) == len(set(ids))


def test_equal_input_gives_equal_bytes(small: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        fhir = tmp_path / name / "fhir.ndjson"
        arguments = ["results", str(small), "--out", str(tmp_path / name), "--fhir", str(fhir)]
        assert cli.main(arguments) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_results_go_to_a_server_on_request(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fhir_server() as store:
        command = ["results", str(small), "--out", str(tmp_path / "out")]
        assert cli.main(command) == 0
        assert store.exchange == []
        assert cli.main([*command, "--fhir-server", store.url]) == 0
        assert "stored" in capsys.readouterr().out
        kinds = [resource["resourceType"] for resource in store.resources.values()]
        store.answers = [404, 422]
        assert cli.main([*command, "--fhir-server", store.url]) == cli.EXIT_USER_ERROR
        assert "refused 1 of" in capsys.readouterr().err
    eyes = RESULT_EYES.read(tmp_path / "out" / "eyes.csv")
    assert kinds.count("Observation") == len(eyes)
    assert kinds.count("Device") == 1


def test_a_table_in_json_lines_is_read(table: Path, tmp_path: Path) -> None:
    lines = (json.dumps(PREDICTIONS.values(row)) for row in PREDICTIONS.read(table))
    (tmp_path / "p.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert cli.main(["results", str(table), "--out", str(tmp_path / "csv")]) == 0
    assert cli.main(["results", str(tmp_path / "p.jsonl"), "--out", str(tmp_path / "jsonl")]) == 0
    for path in (tmp_path / "csv").iterdir():
        assert path.read_bytes() == (tmp_path / "jsonl" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("line", "message"),
    [('{"image_id": "a"', "not JSON"), ("[1]", "not a row of predictions"), ('{"image_id": "a"}', "not a row of")],
)
def test_json_lines_that_are_no_predictions_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    (tmp_path / "p.jsonl").write_text(line, encoding="utf-8")
    arguments = ["results", str(tmp_path / "p.jsonl"), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == cli.EXIT_USER_ERROR
    assert message in capsys.readouterr().err


def test_a_formula_as_a_patient_stays_text_in_every_table(tmp_path: Path) -> None:
    rows, _ = predictions([("'=1+1", "'-2", "R0 L0")])  # as `score` writes =1+1 and -2
    write_predictions(tmp_path / "p.csv", rows)
    assert cli.main(["results", str(tmp_path / "p.csv"), "--out", str(tmp_path / "out")]) == 0
    for path in (tmp_path / "out").glob("*.csv"):
        for row in read_csv(path):
            assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--months", "12", "12", "6", "7", "1"], "none above the one before it"),
        (["--texts", "none.toml"], "the sentences cannot be read"),
        (["--people", "none.csv"], "the table needs a column path"),
        (["--fhir-server", "ftp://x"], "not an http or https URL"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert cli.main(["results", str(table), "--out", str(tmp_path / "out"), *options]) == cli.EXIT_USER_ERROR
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_empty_table_has_empty_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_predictions(tmp_path / "p.csv", [])
    assert cli.main(["results", str(tmp_path / "p.csv"), "--out", str(tmp_path / "out")]) == 0
    assert "0 photographs, 0 examinations" in capsys.readouterr().out
