"""The stage: every row is kept, every finding is reported, and params set the actions."""

import argparse
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from dr_pipeline.canvases.store import INDEX, PIXEL_PATH, member_name
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import add_to_tar, read_json, write_json
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.perceptual_hash import perceptual_hash
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.splitting.groups import bridges_of, group_photographs, photographs_of
from dr_pipeline.stages import audit as stage
from dr_pipeline.stages.outcome import Outcome
from dr_pipeline.tables.canvas_index import write_canvas_index
from dr_pipeline.tables.manifest import ManifestRow, read_manifest, write_manifest
from tests.factories import REPOSITORY
from tests.factories.audit_tables import PLANTED, REPORT_ALL, Photograph, intake, tables
from tests.factories.drawings import draw_fundus
from tests.factories.retakes import View, relight, take

SIDE_PX = 256
ORPHAN = {"rows": ["gone"], "files": []}


def run_stage(
    folder: Path,
    photographs: Sequence[Photograph],
    canvases: dict[str, NDArray[np.uint8]] | None = None,
    referable: dict[str, str] | None = None,
    **changed: Any,
) -> Outcome:
    manifest, index = tables(photographs, {name: {"referable": cell} for name, cell in (referable or {}).items()})
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["audit"] = {**REPORT_ALL, **changed}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    store = folder / "canvases"
    store.mkdir()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, canvas in (canvases or {}).items():
            index[name] = replace(index[name], shard="shard-00000.tar", perceptual_hash=perceptual_hash(canvas))
            png = cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))[1].tobytes()
            add_to_tar(tar, member_name(name), png)
    (store / "shard-00000.tar").write_bytes(packed.getvalue())
    write_json(store / PIXEL_PATH, PixelPath(SIDE_PX).to_dict())
    write_canvas_index(store / INDEX, index.values())
    write_manifest(folder / "manifest.csv", manifest)
    write_json(folder / "intake.json", intake(orphans=ORPHAN, warnings=["grade 2 (Moderate NPDR) is absent"]))
    return stage.run(
        argparse.Namespace(
            params=folder / "params.yaml",
            manifest=folder / "manifest.csv",
            intake=folder / "intake.json",
            canvases=store,
            out=folder / "audited.csv",
            report=folder / "audit.json",
            page=folder / "audit.html",
        )
    )


def disc(seed: int) -> NDArray[np.uint8]:
    """A canvas with structures of a retina's scale, different for each seed."""
    rng = np.random.default_rng(seed)
    texture = sum(
        cv2.GaussianBlur(rng.normal(0, 1, (SIDE_PX, SIDE_PX)), (0, 0), sigma) * sigma
        for sigma in (2.0, 5.0, 12.0, 30.0)
    )
    green = 90 + 18 * texture / np.std(texture)
    canvas = np.stack([green * 1.7, green, green * 0.4], axis=-1)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] - SIDE_PX / 2 + 0.5
    canvas[np.hypot(x, y) > 0.48 * SIDE_PX] = 0
    return np.clip(canvas, 0, 255).astype(np.uint8)


def rows_of(folder: Path) -> dict[str, ManifestRow]:
    return {row.image_id: row for row in read_manifest(folder / "audited.csv")}


def test_every_row_is_kept_and_every_finding_reported(tmp_path: Path) -> None:
    outcome = run_stage(tmp_path, PLANTED, contradictions="exclude")
    rows = rows_of(tmp_path)
    assert set(rows) == {photograph[0] for photograph in PLANTED}
    assert {name: row.duplicate_cluster for name, row in rows.items() if row.duplicate_cluster} == {
        "b": "b", "b2": "b", "b3": "b", "c1": "c1", "c2": "c1", "d1": "d1", "d2": "d1",
    }  # fmt: skip
    assert {name for name, row in rows.items() if row.excluded} == {"c1", "c2", "e", "f", "f2"}
    assert all(bool(row.exclusion_reason) == row.excluded for row in rows.values())
    assert (rows["a"].pixel_hash, rows["a"].width, rows["a"].height) == ("A", 64, 48)

    report = read_json(tmp_path / "audit.json")
    assert report["identical"] == [["b", "b2", "b3"], ["c1", "c2"], ["d1", "d2"], ["f", "f2"]]
    assert report["counts"] == {
        "identical": 4, "near_duplicates": 0, "same_eye": 0, "contradictions": 1, "cross_patient": 1, "orphans": 1,
        "unreadable": 1, "not_fundus": 2, "several_fields": 0, "aspect": 0, "colour_order": 0, "identity": 0,
        "patient_ids": 0, "patient_spelling": 0, "grades": 1, "shortcuts": 0,
    }  # fmt: skip
    assert sum(report["counts"].values()) == len(report["findings"])
    assert all(finding["action"] == report["actions"][finding["kind"]] for finding in report["findings"])
    by_kind = {finding["kind"]: finding for finding in report["findings"]}
    assert by_kind["contradictions"] == {
        "kind": "contradictions", "image_ids": ["c1", "c2"], "grades": {"c1": 3, "c2": 4}, "action": "exclude",
    }  # fmt: skip
    assert by_kind["cross_patient"]["patients"] == 2
    assert "p3" not in (tmp_path / "audit.json").read_text()  # patients' names stay in data/
    assert (report["photographs"], report["used"], report["largest_cluster"]) == (12, 7, 3)
    assert report["warnings"] == ["grade 2 (Moderate NPDR) is absent"]
    assert report["rejection_by_grade"]["4"]["share"] == 0.75
    assert {line["image_id"] for line in report["excluded"]} == {"c1", "c2", "e", "f", "f2"}
    assert "4 identical, 1 contradictions" in outcome.headline
    assert "Not a medical device" in (tmp_path / "audit.html").read_text()


def test_a_near_duplicate_is_verified_on_its_canvas_and_shown(tmp_path: Path) -> None:
    canvases = {name: disc(seed) for seed, name in enumerate("abcdef")}
    brighter = np.clip(canvases["c"].astype(float) * 1.15, 0, 255).astype(np.uint8)
    recompressed = cv2.imdecode(
        cv2.imencode(".jpg", canvases["d"], [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR
    )
    canvases |= {"x": brighter, "y": recompressed}
    photographs = [(name, name.upper(), "1", f"p{name}", "scored") for name in canvases]
    run_stage(tmp_path, photographs, canvases, near_duplicates="exclude")
    report = read_json(tmp_path / "audit.json")
    near = [finding for finding in report["findings"] if finding["kind"] == "near_duplicates"]
    assert [finding["image_ids"] for finding in near] == [["c", "x"], ["d", "y"]]
    assert all(finding["correlation"] > 0.8 and finding["turn"] == 0 for finding in near)
    assert [cluster["image_ids"] for cluster in report["clusters"]] == [["c", "x"], ["d", "y"]]
    assert [finding["image_ids"] for finding in report["findings"] if finding["kind"] == "cross_patient"] == [
        ["c", "x"], ["d", "y"],
    ]  # fmt: skip
    rows = rows_of(tmp_path)
    assert {name: row.exclusion_reason for name, row in rows.items() if row.excluded} == {
        "x": "near duplicate of c", "y": "near duplicate of d",
    }  # fmt: skip
    assert rows["x"].duplicate_cluster == rows["c"].duplicate_cluster == "c"
    assert rows["x"].perceptual_hash == perceptual_hash(brighter)
    assert (tmp_path / "audit.html").read_text().count("<img ") == 8


@pytest.mark.parametrize(("patient", "groups"), [("", [["b", "b2", "x"]]), ("known", [])])
def test_one_eye_photographed_twice_is_kept_together(tmp_path: Path, patient: str, groups: list[list[str]]) -> None:
    eyes = {name: draw_fundus(640, 640, 320, 320, 318, seed=seed) for name, seed in (("a", 7), ("b", 8), ("c", 2))}
    eyes["x"] = relight(take(eyes["b"], View(0.4, 0.1, 0.9, 8.0), 640), np.random.default_rng(1))
    eyes["b2"] = eyes["b"]
    canvases = {name: cv2.resize(eye, (256, 256), interpolation=cv2.INTER_AREA) for name, eye in eyes.items()}
    photographs = [(name, name[0].upper(), "1", patient and f"p{name}", "scored") for name in sorted(canvases)]
    run_stage(tmp_path, photographs, canvases)
    report, rows = read_json(tmp_path / "audit.json"), rows_of(tmp_path)
    assert [found["image_ids"] for found in report["findings"] if found["kind"] == "same_eye"] == groups
    assert {name: row.same_eye for name, row in rows.items() if row.same_eye} == {
        name: group[0] for group in groups for name in group
    }
    together = group_photographs(photographs_of(rows.values()), bridges_of(rows.values()))
    assert ["b", "b2", "x"] in [[one.image_id for one in group.photographs] for group in together] or not groups


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for name, photographs in (("one", PLANTED), ("other", tuple(reversed(PLANTED)))):
        (tmp_path / name).mkdir()
        run_stage(tmp_path / name, photographs)
        written.append([(tmp_path / name / f"audit{end}").read_bytes() for end in ("ed.csv", ".json", ".html")])
    assert written[0] == written[1]


def test_absent_and_rare_grades_are_named(tmp_path: Path) -> None:
    graded = [(f"{n}", str(n), "0", "", "scored") for n in range(5)]
    run_stage(tmp_path, [*graded, ("a", "A", "1", "", "failed"), ("b", "B", "", "", "scored")], min_grade_photographs=5)
    report = read_json(tmp_path / "audit.json")
    assert report["grades"] == {
        "counts": {"0": 5, "1": 1, "2": 0, "3": 0, "4": 0},
        "used": {"0": 5, "1": 0, "2": 0, "3": 0, "4": 0},
        "absent": [2, 3, 4],
        "ungraded": 1,
    }
    grades = [(finding["grade"], finding["used"]) for finding in report["findings"] if finding["kind"] == "grades"]
    assert grades == [(1, 0), (2, 0), (3, 0), (4, 0)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("identical", "4 identical"),
        ("contradictions", "1 contradictions"),
        ("cross_patient", "1 cross-patient"),
        ("orphans", "1 orphans"),
        ("unreadable", "1 unreadable"),
        ("not_fundus", "2 not-fundus"),
        ("grades", "4 grades"),
    ],
)
def test_stop_writes_report_and_page_and_then_refuses(tmp_path: Path, kind: str, expected: str) -> None:
    with pytest.raises(GateError, match=expected) as caught:
        run_stage(tmp_path, PLANTED, **{"min_grade_photographs": 3, kind: "stop"})
    assert str(tmp_path / "audit.json") in str(caught.value)
    assert f"audit.{kind}" in caught.value.todo
    assert read_json(tmp_path / "audit.json")["actions"][kind] == "stop"
    assert (tmp_path / "audit.html").is_file()
    assert not (tmp_path / "audited.csv").exists()


def test_stop_lets_a_clean_data_set_pass(tmp_path: Path) -> None:
    kinds = ("identical", "near_duplicates", "contradictions", "cross_patient", "unreadable", "not_fundus", "shortcuts")
    stops = dict.fromkeys((*kinds, "colour_order", "identity"), "stop")
    run_stage(tmp_path, (("a", "A", "0", "p", "scored"), ("b", "B", "0", "p", "ungradable")), **stops)
    assert set(rows_of(tmp_path)) == {"a", "b"}


def test_a_manifest_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateError, match="no photograph with a label is left of 2"):
        run_stage(tmp_path, (("a", "", "0", "", "failed"), ("b", "B", "", "", "scored")))


def test_a_set_with_referable_labels_and_no_grade_is_audited(tmp_path: Path) -> None:
    photographs = [("a", "A", "", "", "scored"), ("b", "A", "", "", "scored"), ("c", "C", "", "", "scored")]
    run_stage(tmp_path, photographs, referable={"a": "0", "b": "1", "c": "0"}, contradictions="exclude")
    assert {name: row.excluded for name, row in rows_of(tmp_path).items()} == {"a": True, "b": True, "c": False}
    contradictions = [found for found in read_json(tmp_path / "audit.json")["findings"] if "referable" in found]
    assert [found["referable"] for found in contradictions] == [{"a": 0, "b": 1}]


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    canvases = {"a": disc(1), "b": disc(1)}
    photographs = [("a", "A", "1", "", "scored"), ("b", "A", "1", "", "scored")]
    run_stage(tmp_path, photographs, canvases)
    (tmp_path / "canvases" / "shard-00000.tar").write_bytes(b"no tar")
    names = ("params.yaml", "manifest.csv", "intake.json", "canvases", "audited.csv", "audit.json", "audit.html")
    keys = ("params", "manifest", "intake", "canvases", "out", "report", "page")
    with pytest.raises(DataError, match=r"shard-00000\.tar"):
        stage.run(argparse.Namespace(**{key: tmp_path / name for key, name in zip(keys, names, strict=True)}))


def test_the_report_is_plain_json(tmp_path: Path) -> None:
    run_stage(tmp_path, PLANTED)
    text = (tmp_path / "audit.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["research_use"]
