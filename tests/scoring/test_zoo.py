"""The zoo as a clinic's folder: intake, preprocess and scoring lose no file, and every file ends in a status."""

import argparse
import csv
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from dr_pipeline.files import printable, read_csv
from dr_pipeline.stages import intake, preprocess
from dr_pipeline.tables.canvas_index import CANVAS_INDEX
from dr_pipeline.tables.manifest import MANIFEST
from dr_pipeline.tables.predictions import PREDICTIONS
from tests.factories import REPOSITORY, zoo
from tests.factories.canvases import IN_PROCESS
from tests.factories.scoring import score_in_process

pytestmark = pytest.mark.slow

GRADE = "2"
NOBODY = 65534


def run(stage: ModuleType, *arguments: object) -> None:
    parser = argparse.ArgumentParser()
    stage.add_arguments(parser)
    stage.run(parser.parse_args([str(argument) for argument in arguments]))


class Through:
    """What intake and preprocess make of a folder with one class folder, `2`."""

    def __init__(self, root: Path, out: Path) -> None:
        document = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
        document["dataset"]["adapter"] = "folder"
        params, manifest, report = out / "params.yaml", out / "manifest.csv", out / "intake.json"
        params.write_text(yaml.safe_dump(document), encoding="utf-8")
        said = ("--readings", out / "readings.csv", "--report", report)
        run(intake, "--params", params, "--root", root, "--manifest", manifest, *said)
        paths = ("--root", root, "--manifest", manifest, "--out", out / "canvases")
        run(preprocess, "--params", params, *paths, "--workers", 1)
        self.manifest = read_csv(manifest, MANIFEST.columns, version=MANIFEST.version)
        index = read_csv(out / "canvases" / "index.csv", CANVAS_INDEX.columns, version=CANVAS_INDEX.version)
        self.index = {row["image_id"]: row for row in index}
        self.report = json.loads(report.read_text(encoding="utf-8"))
        self.index_of_path = {row["path"]: self.index[row["image_id"]] for row in self.manifest}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clinic")
    (root / GRADE).mkdir()
    zoo.release(root / GRADE)
    return root


@pytest.fixture(scope="module")
def through(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Through:
    return Through(root, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def scored(root: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Rows by path, the apostrophe taken off that makes a cell harmless."""
    out = tmp_path_factory.mktemp("scores") / "predictions.csv"
    summary = score_in_process(root, bundle, out)
    assert summary.no_part == {"system files": len(zoo.SYSTEM_FILES)}
    rows = read_csv(out, PREDICTIONS.columns, version=PREDICTIONS.version)
    assert summary.files == len(rows)
    return {row["path"].removeprefix("'"): row for row in rows}


def on_disk(root: Path) -> list[str]:
    """Every file and link below `root`, links not followed, as printable relative paths."""
    found = []
    for here, folders, files in os.walk(root):
        links = [name for name in folders if (Path(here) / name).is_symlink()]
        found += [printable((Path(here) / name).relative_to(root)) for name in files + links]
    return found


def test_every_file_is_a_manifest_row_an_orphan_or_counted(root: Path, through: Through) -> None:
    report = through.report
    rows, orphans = [row["path"] for row in through.manifest], report["orphans"]["files"]
    loops = [sentence for sentence in report["warnings"] if "link to a folder" in sentence]
    counted = sum(report["left_aside"].values()) + len(loops)
    assert len(rows) + len(orphans) + counted == len(on_disk(root))
    assert not Counter([*rows, *orphans]) - Counter(on_disk(root))
    assert (report["left_aside"]["hidden files"], len(loops)) == (1, 1)
    assert report["left_aside"]["system files"] == len(zoo.SYSTEM_FILES)
    assert report["left_aside"]["links out of the folder"] == 1
    assert any("caf\\xe9" in orphan for orphan in orphans)


def test_every_manifest_row_has_one_index_row(through: Through) -> None:
    assert len(through.index) == len(through.manifest)
    assert {row["image_id"] for row in through.manifest} == set(through.index)
    assert {row["grade"] for row in through.manifest} == {GRADE}


def test_what_intake_cannot_read_is_listed_with_its_reason(through: Through) -> None:
    listed = {entry["path"]: entry["reason"] for entry in through.report["unreadable"]}
    assert set(listed) == {f"{GRADE}/{name}" for name in zoo.ODDITIES}
    assert all(listed.values())


@pytest.mark.parametrize("name", sorted(zoo.hostile_files()))
def test_a_hostile_file_ends_in_its_status_in_the_index(through: Through, name: str) -> None:
    path = f"{GRADE}/{name}"
    if path not in through.index_of_path:  # not a photograph by its name, so among the files counted
        assert Path(name).suffix in {".gif", ".zip", ".html"}
        return
    row = through.index_of_path[path]
    assert zoo.hostile_files()[name].accepts(row["status"], row["reason"]), row


@pytest.mark.parametrize("name", [*zoo.NAMES, zoo.DEEP, zoo.IN_FOLDER_JPG])
def test_a_sound_photograph_is_scored_whatever_its_name(
    through: Through, scored: dict[str, dict[str, str]], name: str
) -> None:
    assert through.index_of_path[f"{GRADE}/{name}"]["status"] == zoo.SCORED
    assert scored[f"{GRADE}/{name}"]["status"] == zoo.SCORED


@pytest.mark.parametrize("name", sorted(zoo.ODDITIES))
def test_what_only_a_file_system_holds_fails_with_a_reason(
    through: Through, scored: dict[str, dict[str, str]], name: str
) -> None:
    row = through.index_of_path[f"{GRADE}/{name}"]
    assert row["status"] == zoo.FAILED
    assert row["reason"]
    assert zoo.ODDITIES[name].preprocess in row["reason"]
    assert scored[f"{GRADE}/{name}"]["status"] == zoo.FAILED
    assert zoo.ODDITIES[name].score in scored[f"{GRADE}/{name}"]["reason"]


def test_scoring_has_one_row_for_every_file_but_a_systems_own(root: Path, scored: dict[str, dict[str, str]]) -> None:
    system_files = {f"{GRADE}/{name}" for name in zoo.SYSTEM_FILES}
    assert sorted(scored) == sorted(set(on_disk(root)) - system_files)
    assert "out of the folder" in scored[f"{GRADE}/{zoo.OUTSIDE_LINK}"]["reason"]
    assert scored[f"{GRADE}/{zoo.LOOP}"]["reason"] == "link to a folder above it"
    for name in (printable(zoo.NOT_UTF8), zoo.HIDDEN):
        assert scored[f"{GRADE}/{name}"]["status"] == zoo.SCORED


@pytest.mark.parametrize("name", sorted(zoo.hostile_files()))
def test_a_hostile_file_ends_in_its_status_when_scored(scored: dict[str, dict[str, str]], name: str) -> None:
    row = scored[f"{GRADE}/{name}"]
    assert zoo.hostile_files()[name].accepts(row["status"], row["reason"]), row


def test_no_reason_is_an_internal_error(through: Through, scored: dict[str, dict[str, str]]) -> None:
    reasons = [row["reason"] for row in (*through.index.values(), *scored.values())]
    assert not [reason for reason in reasons if "internal error" in reason or "Traceback" in reason]
    assert not [r for r in reasons for secret in zoo.dicom_factory.SECRETS if secret in r]


@contextmanager
def without_rights() -> Iterator[None]:
    """As a user who owns nothing; root would read every file."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(NOBODY)
    except PermissionError:
        pytest.skip("a user without rights is absent: this root cannot become another user")
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_without_the_right_to_read_it_is_a_row(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A user without rights may be unable to start another Python, and to load what was not loaded before.
    monkeypatch.setattr(preprocess, "engine_choice", lambda _args: IN_PROCESS)
    # Not under tmp_path, which is closed to other users as a whole.
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        here = Path(folder)
        root, out = here / "clinic", here / "out"
        (root / GRADE).mkdir(parents=True)
        out.mkdir()
        (root / GRADE / "open.jpg").write_bytes(zoo.photograph())
        (root / GRADE / "closed.jpg").write_bytes(zoo.photograph())
        shutil.copytree(bundle, here / "release")
        (here / "release").chmod(0o755)
        before = here / "before"
        before.mkdir()
        Through(root, before)
        score_in_process(root, here / "release", before / "predictions.csv")
        (root / GRADE / "closed.jpg").chmod(0)
        for path in (here, out):
            path.chmod(0o777)
        with without_rights():
            through = Through(root, out)
            score_in_process(root, here / "release", out / "predictions.csv")
        status = {path: row["status"] for path, row in through.index_of_path.items()}
        assert status == {f"{GRADE}/open.jpg": zoo.SCORED, f"{GRADE}/closed.jpg": zoo.FAILED}
        assert "Permission denied" in through.index_of_path[f"{GRADE}/closed.jpg"]["reason"]
        (unreadable,) = through.report["unreadable"]
        assert unreadable["path"] == f"{GRADE}/closed.jpg"
        with (out / "predictions.csv").open(encoding="utf-8", newline="") as stream:
            rows = {row["path"]: row for row in csv.DictReader(stream)}
        assert "Permission denied" in rows[f"{GRADE}/closed.jpg"]["reason"]
        assert rows[f"{GRADE}/open.jpg"]["status"] == zoo.SCORED
