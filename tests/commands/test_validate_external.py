"""`validate-external` by the command line, on a small data set with every kind of photograph."""

import html
import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_pipeline.cli import main
from dr_pipeline.evaluation.published_figures import PUBLISHED
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.reporting.external_page import render_external
from dr_pipeline.reporting.format_figure import format_figure
from dr_pipeline.reporting.metrics_document import metrics_document
from dr_pipeline.reporting.report_page import render
from dr_pipeline.tables.graded import read_graded
from tests.factories.bundles import CANVAS_PX, encode, make_bundle, onnx_model, photograph
from tests.factories.reports import images, sources

pytestmark = pytest.mark.slow
COUNT = 24


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs a patient; one file that is broken, one page, one photograph without a grade."""
    root = tmp_path_factory.mktemp("elsewhere")
    rows = ["image,grade,patient,eye"]
    for number in range(COUNT):
        (root / f"{number}.jpg").write_bytes(photograph(number))
        rows.append(f"{number}.jpg,{number // 2 % 5},P{number // 2},{'left' if number % 2 else 'right'}")
    (root / "broken.jpg").write_bytes(b"no photograph")
    (root / "page.png").write_bytes(encode(np.full((200, 200, 3), 255, np.uint8), ".png"))
    (root / "ungraded.jpg").write_bytes(photograph(90))
    more = ["broken.jpg,4,P80,left", "page.png,0,P81,left", "ungraded.jpg,,P82,left", ""]
    (root / "labels.csv").write_text("\n".join([*rows, *more]), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that was trained on the first photograph."""
    pixels = PixelPath(CANVAS_PX).process(photograph(0)).pixel_hash[:16]
    return make_bundle(tmp_path_factory.mktemp("made") / "release", development_pixels=pixels)


def validate(bundle: Path, out: Path, *more: str) -> int:
    return main(["validate-external", str(bundle), "--out", str(out), "--workers", "1", *more])


@pytest.fixture(scope="module")
def out(bundle: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results") / "external"
    assert validate(bundle, out, "--recipe", "folder", "--root", str(root), "--name", "clinic") == 0
    return out


@pytest.fixture(scope="module")
def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "clinic" / "external.json").read_text(encoding="utf-8"))


def test_photographs_that_the_bundle_was_trained_on_are_left_out_with_their_patients(report: dict[str, Any]) -> None:
    assert report["left_out"] == {"ungraded": 1, "excluded_by_audit": 0, "seen": 1, "same_patients": 1}
    assert report["n"] == COUNT  # 24 and two that are no photographs, less the two of the first patient
    assert "trained or fitted on 1 of these" in report["warnings"][0]


def test_what_cannot_be_graded_is_referred_and_in_no_kappa(report: dict[str, Any], out: Path) -> None:
    assert (report["by_status"]["failed"], report["by_status"]["not_fundus"]) == (1, 1)
    assert report["answered"] == report["figures"]["n"] == report["figures"]["qwk"]["n"] == COUNT - 2
    rows = {row.image_id: row for row in read_graded(out / "clinic" / "predictions.csv")}
    assert len(rows) == COUNT - 2
    referable = [row for row in rows.values() if row.grade >= 2]
    referred = sum(row.referable or row.status != "scored" for row in referable) + 1  # the broken one
    assert report["intention_to_screen"]["referable_sensitivity"]["value"] == pytest.approx(
        referred / (len(referable) + 1)
    )
    assert report["intention_to_screen"]["referable_sensitivity"]["n"] == len(referable) + 1


def test_too_few_photographs_are_not_recalibrated_on_and_the_reason_is_stated(report: dict[str, Any]) -> None:
    assert "at least 50" in report["recalibration"]["note"]
    assert "after" not in report["recalibration"]


def test_the_page_holds_every_set_of_the_bundle_and_the_published_figures(
    out: Path, root: Path, bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    params = out / "clinic" / "params.yaml"
    assert params.is_file()
    assert validate(bundle, out, "--params", str(params), "--root", str(root), "--name", "again") == 0
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count('<tr class="ours"><td>again</td>') == page.count('<tr class="ours"><td>clinic</td>') == 1
    assert all(row.system.split(",")[0] in page for row in PUBLISHED if "'" not in row.system)
    for path in (out / "index.html", out / "again" / "predictions.csv", out / "again" / "canvases" / "index.csv"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    other = make_bundle(tmp_path / "other", model=onnx_model(seed=5))
    assert validate(other, out, "--params", str(params), "--root", str(root), "--name", "other") == 0
    assert "it is not in the table" in caplog.text
    assert "does not state which photographs" in caplog.text
    assert "<td>clinic</td>" not in (out / "index.html").read_text(encoding="utf-8")


def test_the_stage_writes_the_same_figures(
    report: dict[str, Any], out: Path, root: Path, bundle: Path, tmp_path: Path
) -> None:
    own = out / "clinic" / "params.yaml"
    words = ["--name", "clinic", "--params", str(own), "--set", str(own), "--root", str(root), "--bundle", str(bundle)]
    places = ["--out", str(tmp_path / "data"), "--report", str(tmp_path / "clinic.json")]
    assert main(["external", *words, *places, "--workers", "1"]) == 0
    document = json.loads((tmp_path / "clinic.json").read_text(encoding="utf-8"))
    assert document == {"external": {"clinic": report}}
    assert len(read_graded(tmp_path / "data" / "predictions.csv")) == COUNT - 2


def test_the_pipelines_report_and_metrics_hold_it(report: dict[str, Any]) -> None:
    shown = replace(sources(adapter="folder"), external={"clinic": report})
    page, document = render(shown, images()), metrics_document(shown)
    assert page.count(format_figure(report["figures"]["qwk"])) >= 3
    assert report["recalibration"]["note"] in page
    assert all(limit in html.unescape(page) for limit in report["limits"])
    assert document["external"]["clinic"]["all"]["qwk"]["n"] == report["answered"]
    assert document["external"]["clinic"]["screening"]["referable_sensitivity"]["n"] > 0


def test_dangerous_misses_have_pictures_and_are_counted_in_the_page(report: dict[str, Any], out: Path) -> None:
    rows = read_graded(out / "clinic" / "predictions.csv")
    threatening = [row for row in rows if row.grade >= 3]
    missed = sum(row.predicted <= 1 for row in threatening)
    cases = (out / "clinic" / "cases.html").read_text(encoding="utf-8")
    assert f"{missed} of {len(threatening)} graded photographs with severe" in cases
    assert cases.count("data:image/jpeg") >= missed > 0
    assert f"<td>{missed} of {len(threatening)}; pictures" in render_external([report])
    assert stat.S_IMODE((out / "clinic" / "cases.html").stat().st_mode) & 0o077 == 0


def test_names_and_sites_are_escaped(report: dict[str, Any]) -> None:
    page = render_external([report | {"name": "<script>alert(1)</script>"}])
    assert "<script>" not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "folder"], "give --root"),
        (["--recipe", "nothing", "--root", "."], "no recipe 'nothing'"),
        (["--params", "absent.yaml"], "the parameter file is missing"),
    ],
)
def test_bad_input_is_refused(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, arguments: list[str], message: str
) -> None:
    assert validate(bundle, tmp_path / "out", *arguments) == 2
    assert message in caplog.text


def test_a_bundle_that_knows_every_photograph_is_refused(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "known"
    folder.mkdir()
    (folder / "0.jpg").write_bytes(photograph(0))
    (folder / "labels.csv").write_text("image,grade,patient,eye\n0.jpg,2,P1,left\n", encoding="utf-8")
    pixels = PixelPath(CANVAS_PX).process(photograph(0)).pixel_hash[:16]
    bundle = make_bundle(tmp_path / "release", development_pixels=pixels)
    assert validate(bundle, tmp_path / "out", "--recipe", "folder", "--root", str(folder)) == 2
    assert "no graded photograph is left: the bundle was trained or fitted on 1 of 1" in caplog.text
