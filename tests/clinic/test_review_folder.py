"""The review page's folder: what is written, for whom, and what is refused."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dr_pipeline import cli
from dr_pipeline.clinic.review.pictures import render
from dr_pipeline.errors import DataError
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.predictions import read_predictions, write_predictions
from tests.factories.dicom import PATIENT, dicom
from tests.factories.drawings import draw_fundus, encode, jpeg
from tests.factories.html_tags import Tags
from tests.factories.review_pages import batch, prediction, review, write_photograph

SCRIPTS = ("data", "readings", "picture", "photographs", "filters", "grid", "viewer", "review")


def data_of(out: Path) -> dict[str, Any]:
    text = (out / "data.js").read_text(encoding="ascii")
    assert text.startswith("window.REVIEW = ")
    value: dict[str, Any] = json.loads(text.removeprefix("window.REVIEW = ").removesuffix(";\n"))
    return value


def test_every_row_is_on_the_page_and_what_has_no_picture_says_why(tmp_path: Path) -> None:
    predictions, rows = batch(tmp_path)
    made = review(predictions, tmp_path / "out")
    data = data_of(tmp_path / "out")
    assert [sorted(item["id"] for item in data["items"]), data["use"]] == [
        sorted(r.image_id for r in rows),
        RESEARCH_USE,
    ]
    without = {item["id"]: item["missing"] for item in data["items"] if "full" not in item}
    assert without == {"eye10": "the program could read no picture", "eye11": "its file is not among the photographs"}
    assert made.missing == dict.fromkeys(without.values(), 1)
    assert (made.photographs, made.kept) == (12, 0)
    for item in data["items"]:
        if "full" in item:
            full, thumbnail = (cv2.imread(str(tmp_path / "out" / item[name])) for name in ("full", "thumbnail"))
            assert full.shape[0] == full.shape[1] >= thumbnail.shape[0] == thumbnail.shape[1] == 240


def test_only_the_owner_may_read_and_the_page_loads_only_its_own_files(tmp_path: Path) -> None:
    predictions, _ = batch(tmp_path)
    review(predictions, tmp_path / "new" / "out")
    for path in [tmp_path / "new", *(tmp_path / "new").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    page = (tmp_path / "new" / "out" / "index.html").read_text(encoding="utf-8")
    assert Tags(page).loads == ["review.css", *(f"{name}.js" for name in SCRIPTS)]
    assert "default-src 'none'" in page
    assert page.count(RESEARCH_USE) == 2
    scripts = "".join((tmp_path / "new" / "out" / f"{name}.js").read_text() for name in SCRIPTS[1:])
    for name in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "fetch(",
        "http:",
        "https:",
    ):
        assert name not in scripts


def test_a_second_run_keeps_pictures_of_the_same_bytes_and_removes_others(tmp_path: Path) -> None:
    predictions, _ = batch(tmp_path)
    out = tmp_path / "out"
    review(predictions, out)
    first = {path.name: path.stat().st_mtime_ns for path in (out / "pictures").iterdir()}
    (out / "pictures" / f".{'a' * 32}-thumb.jpg.x1_.part").write_bytes(b"a killed run's")
    next(iter((out / "pictures").glob("*-2048.jpg"))).unlink()
    assert review(predictions, out).kept == 9
    second = {path.name: path.stat().st_mtime_ns for path in (out / "pictures").iterdir()}
    assert first.keys() == second.keys()
    assert sum(first[name] == second[name] for name in first) == len(first) - 2
    review(predictions, out, whole_frame=True)
    assert {("frame" in path.name) for path in (out / "pictures").iterdir()} == {True}


def test_a_file_that_is_another_by_now_is_not_shown(tmp_path: Path) -> None:
    predictions, _ = batch(tmp_path)
    (tmp_path / "photographs" / "eye3.jpg").write_bytes((tmp_path / "photographs" / "eye4.jpg").read_bytes())
    review(predictions, tmp_path / "out")
    changed = next(item for item in data_of(tmp_path / "out")["items"] if item["id"] == "eye3")
    assert changed["missing"] == "the file is no longer the one that was scored"
    assert "full" not in changed


def test_without_patients_nothing_that_names_one_is_in_the_folder(tmp_path: Path) -> None:
    predictions, rows = batch(tmp_path)
    review(predictions, tmp_path / "out", hide_patients=True)
    text = (tmp_path / "out" / "data.js").read_text()
    for hidden in ("eye1", "PAT0", '2026-03"', "north", '.jpg","path'):
        assert hidden not in text
    items = data_of(tmp_path / "out")["items"]
    form = next(item for item in items if item["status"] == "not_fundus")
    assert form["missing"].startswith("not shown without patients")
    assert {rows[item["number"] - 1].sha256 for item in items} == {row.sha256 for row in rows}
    with pytest.raises(DataError, match="the patient's name"):
        review(predictions, tmp_path / "out", hide_patients=True, whole_frame=True)


def test_names_that_are_html_or_scripts_stay_text(tmp_path: Path) -> None:
    nasty = "</script><img src=x onerror=alert(1)>\u2028"
    row = prediction(nasty.replace("/", "-"), path="a.jpg", grade=2, patient_id=nasty, site=nasty)
    write_predictions(
        tmp_path / "p.csv", [write_photograph(tmp_path / "photographs", row, jpeg(draw_fundus(90, 90, 45, 45, 40)))]
    )
    review(tmp_path / "p.csv", tmp_path / "out")
    assert data_of(tmp_path / "out")["items"][0]["patient"] == nasty
    assert "<img" not in (tmp_path / "out" / "index.html").read_text()


def test_what_the_camera_writes_beside_the_field_is_masked() -> None:
    pixels = draw_fundus(800, 600, 400, 300, 280)
    cv2.putText(pixels, "DOE JANE", (10, 590), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
    masked = render(encode(pixels, ".png"), full_px=2048, whole_frame=False)
    side = len(masked)
    assert abs(side - 560) <= 2
    ys, xs = np.mgrid[:side, :side] - (side - 1) / 2
    assert masked[np.hypot(xs, ys) > 281].max() == 0
    assert masked[280, 280].max() > 100
    whole = render(encode(pixels, ".png"), full_px=400, whole_frame=True)
    assert whole.shape == (300, 400, 3)
    assert whole[285:, :80].max() > 200


def test_dicom_and_tiff_become_jpeg(tmp_path: Path) -> None:
    pixels = draw_fundus(320, 300, 160, 150, 140)
    header = PATIENT | {"PatientID": "77", "ImageLaterality": "R"}
    files = {"a.dcm": dicom(pixels, **header), "b.tif": encode(pixels, ".tif")}
    rows = [prediction(name[0], path=name, grade=1) for name in files]
    rows = [write_photograph(tmp_path / "photographs", row, files[row.path]) for row in rows]
    write_predictions(tmp_path / "p.csv", rows)
    assert review(tmp_path / "p.csv", tmp_path / "out").missing == {}
    assert all(path.read_bytes().startswith(b"\xff\xd8") for path in (tmp_path / "out" / "pictures").iterdir())


def test_tables_and_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    predictions, rows = batch(tmp_path)
    (tmp_path / "taken" / "pictures").mkdir(parents=True)
    (tmp_path / "taken" / "pictures" / "mine.jpg").write_text("mine")
    with pytest.raises(DataError, match="no review page"):
        review(predictions, tmp_path / "taken")
    assert (tmp_path / "taken" / "pictures" / "mine.jpg").is_file()
    write_predictions(tmp_path / "twice.csv", [*rows, rows[0]])
    with pytest.raises(DataError, match="1 ids occur more than once"):
        review(tmp_path / "twice.csv", tmp_path / "out")
    write_predictions(tmp_path / "out_of.csv", [replace(rows[0], sha256="../../../tmp/x")])
    with pytest.raises(DataError, match="1 rows have a sha256 that is none"):
        review(tmp_path / "out_of.csv", tmp_path / "out")
    write_predictions(tmp_path / "none.csv", [])
    with pytest.raises(DataError, match="no rows"):
        review(tmp_path / "none.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_finds_the_photographs_by_the_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions, _ = batch(tmp_path)
    arguments = ["review", str(predictions), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert cli.main(arguments) == 2
    assert "name them with --photographs" in capsys.readouterr().err
    settings = {"sources": [str(tmp_path / "photographs")], "ignore": ["eye4.*"], "follow_links": False}
    manifest = {"schema_version": 1, "settings": settings, "bundle": {}, "inputs": {}, "rows": {}, "outputs": {}}
    (tmp_path / "p.csv.manifest.json").write_text(json.dumps(manifest))
    assert cli.main([*arguments, "--full-px", "256"]) == 0
    captured = capsys.readouterr()
    assert "12 photographs, 3 without a picture. Research use only. Not a medical device." in captured.out
    assert "2 without a picture: its file is not among the photographs" in captured.err
    assert "PAT" not in captured.err + captured.out
    assert cli.main([*arguments, "--photographs", str(tmp_path / "photographs")]) == 0
    assert read_predictions(predictions)[0].image_id == "eye0"
