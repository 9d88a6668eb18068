"""The stage `intake`: manifest.csv and intake.json, the same bytes for the same data."""

import argparse
import errno
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dr_pipeline.adapter_registry import find
from dr_pipeline.cli import EXIT_USER_ERROR, main
from dr_pipeline.errors import DataError
from dr_pipeline.files import read_json, sha256_bytes
from dr_pipeline.intake.adapters.datalist import PROVENANCE
from dr_pipeline.intake.build_manifest import manifest_rows
from dr_pipeline.intake.records import Intake, Record
from dr_pipeline.intake.run_intake import intake_report, run_intake
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.params.section import validate
from dr_pipeline.schema import RESEARCH_USE, Eye
from dr_pipeline.stages import intake
from dr_pipeline.tables.manifest import MANIFEST, ManifestRow, read_manifest
from tests.factories import REPOSITORY
from tests.factories.dicom import PATIENT, SECRETS, dicom
from tests.factories.layouts import aptos, photograph


def run(root: Path, out: Path, adapter: str = "aptos2019") -> tuple[list[ManifestRow], dict]:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["dataset"]["adapter"] = adapter
    out.mkdir(exist_ok=True)
    (out / "params.yaml").write_text(yaml.safe_dump(params))
    intake.run(
        argparse.Namespace(
            params=out / "params.yaml",
            root=root,
            manifest=out / "manifest.csv",
            readings=out / "readings.csv",
            report=out / "intake.json",
        )
    )
    return read_manifest(out / "manifest.csv"), read_json(out / "intake.json")


def test_one_row_per_photograph_sorted_with_the_hash_of_its_bytes(tmp_path: Path) -> None:
    root = aptos(tmp_path / "data", ["b,4", "a10,0", "a9,1", "gone,2"], ["a9.png", "a10.png", "b.png", "new.png"])
    rows, report = run(root, tmp_path / "out")
    assert [row.image_id for row in rows] == ["a10", "a9", "b"]
    assert (tmp_path / "out" / "manifest.csv").read_text().splitlines()[0] == ",".join(MANIFEST.columns)
    for row in rows:
        assert row.sha256 == sha256_bytes((root / row.path).read_bytes())
        assert (row.source, row.excluded, row.pixel_hash, row.patient_id) == ("aptos2019", False, "", "")
    assert report["grades"] == {"0": 1, "1": 1, "2": 0, "3": 0, "4": 1}
    assert report["orphans"] == {"rows": ["gone"], "files": ["train_images/new.png"]}
    assert report["patient_ids"] == {"known": False, "photographs_without": 3}
    assert report["research_use"] == RESEARCH_USE
    assert report["provenance"]["citation"]


def test_absent_grades_unknown_patients_and_ungraded_photographs_are_warnings(tmp_path: Path) -> None:
    root = aptos(tmp_path / "data", ["a,0", "b,"], ["a.png", "b.png"])
    _, report = run(root, tmp_path / "out")
    text = "\n".join(report["warnings"])
    assert all(f"grade {grade} " in text for grade in (1, 2, 3, 4))
    assert "grade 0 " not in text
    assert "1 photographs have no grade" in text
    assert "patient ids are unknown" in text
    assert report["ungraded"] == 1


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    root = aptos(tmp_path / "data", [f"i{n},{n % 5}" for n in range(30)], [f"i{n}.png" for n in range(30)])
    run(root, tmp_path / "one")
    run(root, tmp_path / "two")
    for name in ("manifest.csv", "intake.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_missing_root_and_a_dangling_link_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="recipe NAME --root"):
        run(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(DataError, match="link has no target"):
        run(tmp_path / "link", tmp_path / "out")


def test_photographs_that_cannot_be_read_keep_their_rows(tmp_path: Path) -> None:
    root = aptos(tmp_path / "data", ["a,0", "b,1", "c,2", "d,3"], ["a.png"])
    (root / "train_images" / "b.png").symlink_to(root / "nowhere.png")
    os.mkfifo(root / "train_images" / "c.png")
    (root / "train_images" / "d.png").symlink_to(root / "train_images" / "d.png")
    rows, report = run(root, tmp_path / "out")
    assert [(row.image_id, bool(row.sha256), row.grade) for row in rows] == [
        ("a", True, 0),
        ("b", False, 1),
        ("c", False, 2),
        ("d", False, 3),
    ]
    reasons = {entry["image_id"]: (entry["path"], entry["reason"]) for entry in report["unreadable"]}
    assert reasons == {
        "b": ("train_images/b.png", os.strerror(errno.ENOENT)),
        "c": ("train_images/c.png", "no regular file"),
        "d": ("train_images/d.png", os.strerror(errno.ELOOP)),
    }
    assert "train_images/c.png: no regular file" in " ".join(report["warnings"])


@pytest.mark.skipif(os.geteuid() == 0, reason="a right that root lacks is absent")
def test_a_photograph_without_the_right_to_read_keeps_its_row(tmp_path: Path) -> None:
    root = aptos(tmp_path / "data", ["a,0", "b,1"], ["a.png", "b.png"])
    (root / "train_images" / "b.png").chmod(0)
    rows, report = run(root, tmp_path / "out")
    assert [bool(row.sha256) for row in rows] == [True, False]
    assert report["unreadable"][0]["reason"] == os.strerror(errno.EACCES)


def test_the_new_columns_are_written_and_their_values_checked(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.png")
    record = Record("a", path.name, 3, eye=Eye.LEFT, referable=True, pixel_spacing_mm="0.01", official_split="test")
    rows, unreadable = manifest_rows(Intake((record,), PROVENANCE), tmp_path, source="folder")
    assert unreadable == ()
    (row,) = rows
    assert (row.referable, row.pixel_spacing_mm, row.official_split, row.perceptual_hash) == (True, "0.01", "test", "")


@pytest.mark.parametrize(
    ("column", "value"), [("grade", 5), ("grade", "3"), ("referable", 2), ("eye", "both"), ("official_split", "dev")]
)
def test_a_value_that_its_column_cannot_hold_is_refused(tmp_path: Path, column: str, value: object) -> None:
    path = photograph(tmp_path / "a.png")
    faulty: Any = {column: value}
    record = replace(Record("a", path.name, 3), **faulty)
    with pytest.raises(DataError, match=f"a: {column} {value!r}"):
        manifest_rows(Intake((record,), PROVENANCE), tmp_path, source="folder")


def test_the_report_lists_identity_and_names_that_do_not_match(tmp_path: Path) -> None:
    identity = (("a", ("PatientName", "PatientID")),)
    intake = Intake((Record("a", "a.png", 3),), PROVENANCE, identity=identity, unparsed=("a.png",))
    report = intake_report(intake, find("folder"))
    assert report["identity"] == [{"image_id": "a", "fields": ["PatientName", "PatientID"]}]
    assert report["unparsed"] == ["a.png"]
    assert "do not contain a patient or an eye as declared: a.png (1 in all)" in " ".join(report["warnings"])


def test_rows_and_files_that_never_meet_are_refused(tmp_path: Path) -> None:
    root = aptos(tmp_path / "data", ["a,0", "b,1"], ["x.png"])
    with pytest.raises(DataError, match=r"no row of the label table has its photograph.*a, b \(2 in all\)"):
        run(root, tmp_path / "out")


def test_a_data_set_without_a_single_grade_is_refused(tmp_path: Path) -> None:
    root = aptos(tmp_path / "data", ["a,", "b,"], ["a.png", "b.png"])
    with pytest.raises(DataError, match="no photograph has a grade"):
        run(root, tmp_path / "out")


def test_names_that_a_spreadsheet_or_a_shell_would_stumble_over_survive(tmp_path: Path) -> None:
    names = ["=cmd.png", "-rf.png", "new\nline.png", "return\rline.png", 'quote".png', "comma,.png", "👁.png"]
    names += ["x" * 251 + ".png", "é" * 125 + ".png"]
    for name in names:
        (tmp_path / "data" / "3").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "3" / name).write_bytes(name.encode())
    rows, _ = run(tmp_path / "data", tmp_path / "out", "folder")
    assert {row.path for row in rows} == {f"3/{name}" for name in names}


def test_a_dicom_header_fills_what_the_folder_leaves_open_and_no_identity_comes_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph(tmp_path / "data" / "2" / "a.jpg")
    pixels = np.full((16, 16, 3), 90, np.uint8)
    header = dicom(pixels, ImageLaterality="L", Manufacturer="Maker", ManufacturerModelName="X1", **PATIENT)
    (tmp_path / "data" / "2" / "IM0001").write_bytes(header)
    rows, report = run(tmp_path / "data", tmp_path / "out", "folder")
    row = next(row for row in rows if row.path == "2/IM0001")
    assert (row.eye, row.camera, row.grade) == ("left", "Maker X1", 2)
    assert re.fullmatch("dicom-[0-9a-f]{16}", row.patient_id)
    assert [entry["image_id"] for entry in report["identity"]] == [row.image_id]
    assert "PatientName" in report["identity"][0]["fields"]
    written = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "out").iterdir())
    printed = capsys.readouterr()
    assert not [secret for secret in SECRETS if secret in written + printed.out + printed.err]


def test_the_command_line_prints_one_message_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["dataset"]["adapter"] = "aptos2019"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    root = aptos(tmp_path / "data", ["a,0", "b,9"], ["a.png", "b.png"])
    paths = {"params": "params.yaml", "manifest": "manifest.csv", "readings": "readings.csv", "report": "intake.json"}
    arguments = [word for name, path in paths.items() for word in (f"--{name}", str(tmp_path / path))]
    code = main(["intake", "--root", str(root), *arguments])
    error = capsys.readouterr().err
    assert code == EXIT_USER_ERROR
    assert "b: '9' (1 in all)" in error
    assert "train.csv" in error
    assert "Traceback" not in error


def test_doubted_patient_ids_are_warned_of_and_listed_without_the_ids(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    lines = ["image,grade,patient,eye"]
    for number in range(20):
        (root / f"i{number:02d}.jpg").write_bytes(bytes([number]))
        patient = "UNKNOWN" if number < 6 else "Walk in" if number < 8 else ("P0007", "p 7")[number % 2]
        lines.append(f"i{number:02d}.jpg,{number % 5},{patient},")
    (root / "labels.csv").write_text("\n".join(lines))
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))["dataset"]
    columns = params["folder"]["columns"] | {"visit": "", "site": "", "camera": "", "grader": ""}
    folder = params["folder"] | {"labels": "labels.csv", "columns": columns}
    dataset = params | {"adapter": "folder", "folder": folder, "unknown_patient_ids": ["walk-in"]}
    report = run_intake(root, validate(dataset, Dataset, where="test")).report
    assert [
        (finding["why"], finding["ids"], len(finding["image_ids"])) for finding in report["patient_id_findings"]
    ] == [
        ("placeholder", 2, 8),
        ("spelling", 2, 12),
    ]
    text = json.dumps(report)
    assert "8 photographs is a placeholder" in text
    assert not [name for name in ("UNKNOWN", "Walk in", "P0007", "p 7") if name in text]
