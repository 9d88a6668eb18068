"""`compare` by the command line: two tables, two bundles, and what cannot be compared."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline.cli import main
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.changed import read_changed
from dr_pipeline.tables.graded import write_graded
from tests.factories.answers import graded_table
from tests.factories.bundles import CANVAS_PX, make_bundle, onnx_model, photograph

GRADES = np.tile(np.arange(5), 60)
GROUPS = [f"patient:{row // 2}" for row in range(len(GRADES))]


def table(path: Path, *, noise: float, seed: int = 0, **changes: object) -> Path:
    """A table of predictions; `changes` are those of the first row."""
    rows = graded_table(GRADES, GROUPS, noise=noise, seed=seed)
    write_graded(path, [replace(rows[0], **changes), *rows[1:]])
    return path


def compare(old: Path, new: Path, out: Path, *more: str) -> int:
    return main(["compare", str(old), str(new), "--out", str(out), "--replicates", "200", *more])


def test_two_tables_give_a_verdict_an_exit_code_and_private_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = table(tmp_path / "old.csv", noise=0.4), table(tmp_path / "<new>.csv", noise=1.2, seed=1)
    assert compare(old, new, tmp_path / "out") == 1
    printed = capsys.readouterr().out
    assert "verdict: inferior" in printed
    assert RESEARCH_USE in printed
    report = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    changed = read_changed(tmp_path / "out" / "changed.csv")
    assert len(changed) == report["changed"]["any"] > 100
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "&lt;new&gt;.csv" in page
    assert "<new>" not in page
    assert f"The first 60 of {len(changed)}" in page
    for path in (tmp_path / "out").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert compare(new, old, tmp_path / "back") == 0
    assert compare(old, old, tmp_path / "same") == 0


def test_margins_are_declared_one_by_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, new = table(tmp_path / "old.csv", noise=0.4), table(tmp_path / "new.csv", noise=0.55, seed=1)
    wide = [f"--margin={name}=0.5" for name in ("qwk", "referable_auc", "ungradable", "brier", "ece")]
    none = [f"--margin={name}=none" for name in ("referable_specificity", "vision_threatening_sensitivity")]
    assert compare(old, new, tmp_path / "out", *wide, *none, "--margin=referable_sensitivity=0.5") == 0
    assert compare(old, new, tmp_path / "out", "--margin=qwk=0") == 1
    assert compare(old, new, tmp_path / "out", "--margin=kappa=0.1") == 2
    assert "no endpoint kappa" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": "another"}, "2 are in one only, such as 'another'"),
        ({"image_id": "photo_0001"}, "holds 'photo_0001' twice"),
        ({"grade": 4}, "another grade by the readers"),
        ({"group": "patient:other"}, "another patient"),
    ],
)
def test_tables_that_do_not_go_together_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, object], message: str
) -> None:
    old, new = table(tmp_path / "old.csv", noise=0.4), table(tmp_path / "new.csv", noise=0.4, **changes)
    assert compare(old, new, tmp_path / "out") == 2
    assert message in caplog.text
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clinic")
    rows = ["image,grade,patient"]
    for number in range(10):
        (folder / f"{number}.jpg").write_bytes(photograph(number % 9))  # the last one is a copy of the first
        rows.append(f"{number}.jpg,{number % 9 % 5},P{number % 9 // 2}")
    (folder / "broken.jpg").write_bytes(b"no photograph")
    (folder / "labels.csv").write_text("\n".join([*rows, "broken.jpg,2,P9", ""]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two bundles; the second was trained on photograph 3."""
    root = tmp_path_factory.mktemp("made")
    pixels = PixelPath(CANVAS_PX).process(photograph(3)).pixel_hash[:16]
    new = make_bundle(root / "new", model=onnx_model(seed=3), development_pixels=pixels)
    return make_bundle(root / "old"), new


def test_two_bundles_are_compared_on_photographs_that_neither_has_seen(
    bundles: tuple[Path, Path], folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    places = ["--photographs", str(folder), "--labels", str(folder / "labels.csv"), "--workers", "1", "--pictures"]
    assert compare(*bundles, tmp_path / "out", *places) == 1
    report = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert report["n"] == 9  # 10 and the broken one, less the copy and the one that is known
    assert sorted(report["left_out"].values()) == [1, 1]
    assert report["unanswered"] == {"old": 1, "new": 1}
    assert "one of the bundles was trained or fitted on them" in caplog.text
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert ("data:image/jpeg" in page) == bool(report["changed"]["any"])


def test_a_packed_bundle_is_one_by_any_name(
    bundles: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    packed = [tmp_path / name for name in ("old", "new.bundle")]
    for bundle, path in zip(bundles, packed, strict=True):
        assert main(["pack", str(bundle), "--out", str(path)]) == 0
    assert compare(packed[0], packed[1], tmp_path / "out") == 2
    assert "two bundles need photographs" in caplog.text


def test_a_table_of_score_is_refused_with_what_to_do(
    bundles: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.jpg").write_bytes(photograph(0))
    scored = tmp_path / "scored.csv"
    words = ["score", str(tmp_path / "one"), "--bundle", str(bundles[0]), "--workers", "1", "--out", str(scored)]
    assert main(words) == 0
    assert compare(scored, table(tmp_path / "new.csv", noise=0.4), tmp_path / "out") == 2
    assert "a table that `score` wrote, which has no grades of readers" in caplog.text
    assert "compare the two bundles on --photographs with --labels" in caplog.text


def test_what_is_not_of_one_kind_is_refused(
    bundles: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = table(tmp_path / "old.csv", noise=0.4)
    assert compare(bundles[0], old, tmp_path / "out") == 2
    assert "one is a bundle and the other is not" in caplog.text
    assert compare(*bundles, tmp_path / "out") == 2
    assert "two bundles need photographs" in caplog.text
    assert compare(old, old, tmp_path / "out", "--limit", "5") == 2
    assert "are for bundles" in caplog.text
    assert compare(old, old, tmp_path / "out", "--pictures") == 2
    assert "needs --canvases" in caplog.text
