import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline import cli
from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.fundus import decode
from dr_pipeline.schema import RESEARCH_USE, Status
from dr_pipeline.scoring.folder import score_folder
from dr_pipeline.scoring.journal import Journal, journal_path
from dr_pipeline.scoring.outputs import partial_path
from dr_pipeline.scoring.prediction_rows import make_row
from dr_pipeline.scoring.pyfunc import PyfuncGrader
from dr_pipeline.scoring.run_manifest import manifest_path
from dr_pipeline.scoring.score import Grading, Score
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.scoring.sources import walk
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.listing import list_entries
from dr_pipeline.tables.predictions import PREDICTIONS, VERSION
from tests.factories.bundles import encode, photograph
from tests.factories.scoring import score_in_process

pytestmark = pytest.mark.slow

FORMULA_NAMES = ("=cmd()", "+1", "-2", "@x", "\ttab")


@pytest.fixture(scope="module")
def scorer(bundle):
    return Scorer.from_bundle(bundle, threads=1)


@pytest.fixture
def zoo(tmp_path):
    """A clinic's folder as it comes: names, endings and contents of every kind."""
    root = tmp_path / "clinic"
    for name in ("a", "b/deep/er", "b/empty"):
        (root / name).mkdir(parents=True)
    good = photograph(1)
    for name in ("a/img10.jpg", "a/img2.jpg", "b/deep/er/left.jpg", "b/😀 eye.jpeg", "a/new\nline.jpg"):
        (root / name).write_bytes(photograph(len(name)))
    for name in FORMULA_NAMES:
        (root / f"{name}.jpg").write_bytes(photograph(5))
    (root / os.fsdecode(b"caf\xe9.jpg")).write_bytes(good)
    (root / "copy.png").write_bytes(good)  # the same pixels, named otherwise
    (root / "copy.jpg").write_bytes(good)
    (root / "zero.jpg").touch()
    (root / "truncated.jpg").write_bytes(good[: len(good) // 2])
    (root / "text.jpg").write_text("not a picture")
    (root / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (root / "report.pdf").write_bytes(b"%PDF-1.4")
    (root / "grey wall.png").write_bytes(encode(np.full((256, 256, 3), 128, np.uint8), ".png"))
    (root / "broken link.jpg").symlink_to("nowhere.jpg")
    (root / "link.jpg").symlink_to("a/img2.jpg")
    (root / "b" / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.jpg")
    return root


def _rows(out: Path):
    return read_csv(out, version=VERSION)


def _score(folder, bundle, out):
    summary = score_in_process(folder, bundle, out)
    return summary, {row["path"]: row for row in _rows(out)}


def test_every_file_has_exactly_one_row(zoo, bundle, tmp_path):
    summary, rows = _score(zoo, bundle, tmp_path / "p.csv")
    on_disk = [Path(top) / name for top, _, names in os.walk(zoo) for name in names]
    assert summary.no_part == {"system files": 1}  # .DS_Store
    assert summary.files == len(rows) == len(on_disk) + 1 - 1  # os.walk calls the looping link a folder
    assert sum(summary.by_status.values()) == summary.files
    assert len({row["image_id"] for row in rows.values()}) == len(rows)
    for row in rows.values():
        assert row["status"] in set(Status)
        assert (row["reason"] == "") == (row["status"] == "scored"), row
        assert (row["grade"] != "") == (row["status"] == "scored"), row


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("a/img2.jpg", "scored", ""),
        ("zero.jpg", "failed", "empty"),
        ("truncated.jpg", "failed", "truncated"),
        ("text.jpg", "failed", "not a JPEG"),
        ("report.pdf", "failed", "not a JPEG"),
        ("grey wall.png", "not_fundus", "flat"),
        ("broken link.jpg", "failed", "broken link"),
        ("link.jpg", "scored", ""),
        ("b/loop", "failed", "link to a folder above it"),
        ("pipe.jpg", "failed", "not a regular file"),
        ("b/😀 eye.jpeg", "scored", ""),
        ("a/new\nline.jpg", "scored", ""),
        ("caf\\xe9.jpg", "scored", ""),
    ],
)
def test_each_kind_of_file_gets_its_row(zoo, bundle, tmp_path, path, status, reason):
    _, rows = _score(zoo, bundle, tmp_path / "p.csv")
    assert rows[path]["status"] == status
    assert reason in rows[path]["reason"]
    if status != "scored":
        assert rows[path]["needs_human"] == "1"


def test_no_cell_is_a_formula(zoo, bundle, tmp_path):
    _, rows = _score(zoo, bundle, tmp_path / "p.csv")
    for name in FORMULA_NAMES:
        assert f"'{name}.jpg" in rows
    for row in rows.values():
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())


def test_a_duplicate_is_linked_to_the_first_and_still_graded(zoo, bundle, tmp_path):
    _, rows = _score(zoo, bundle, tmp_path / "p.csv")
    first, second = rows["caf\\xe9.jpg"], rows["copy.jpg"]
    assert first["duplicate_of"] == ""
    assert second["duplicate_of"] == rows["copy.png"]["duplicate_of"] == first["image_id"]
    assert second["grade"] == first["grade"] != ""
    assert rows["link.jpg"]["duplicate_of"] == rows["a/img2.jpg"]["image_id"]


def test_rows_stand_in_natural_order_and_processes_do_not_change_a_byte(zoo, bundle, tmp_path):
    score_in_process(zoo, bundle, tmp_path / "1.csv")
    score_folder(zoo, bundle, tmp_path / "2.csv", workers=2)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()
    paths = [row["path"] for row in _rows(tmp_path / "1.csv")]
    assert paths.index("a/img2.jpg") + 1 == paths.index("a/img10.jpg")


def test_one_file_is_a_folder_of_one(zoo, bundle, tmp_path):
    summary, rows = _score(zoo / "a" / "img2.jpg", bundle, tmp_path / "p.csv")
    assert summary.files == 1
    assert list(rows) == ["img2.jpg"]


def test_the_own_table_inside_the_folder_is_left_out_and_said(zoo, bundle):
    out = zoo / "predictions.csv"
    first, _ = _score(zoo, bundle, out)
    second, rows = _score(zoo, bundle, out)
    assert second.files == first.files
    assert "predictions.csv" not in rows
    assert second.left_out == (out, manifest_path(out))
    assert first.left_out == ()


def test_a_folder_that_cannot_be_listed_is_a_row(zoo, bundle, tmp_path, monkeypatch):
    real = os.scandir

    def scandir(path):
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(walk.os, "scandir", scandir)
    _, rows = _score(zoo, bundle, tmp_path / "p.csv")
    assert rows["b/deep"]["reason"] == "folder cannot be opened: Permission denied"


def test_a_file_that_vanishes_or_cannot_be_read_is_a_row(zoo, bundle, tmp_path, monkeypatch):
    real = os.open

    def open_file(path, flags, *arguments, **named):
        if str(path).endswith("img2.jpg"):
            raise PermissionError(13, "Permission denied")
        if str(path).endswith("img10.jpg"):
            Path(path).unlink()
        return real(path, flags, *arguments, **named)

    monkeypatch.setattr(decode.os, "open", open_file)
    _, rows = _score(zoo, bundle, tmp_path / "p.csv")
    assert rows["a/img2.jpg"]["reason"] == "the file cannot be read: Permission denied"
    assert rows["a/img10.jpg"]["reason"] == "the file is missing"


def test_a_film_is_not_read_into_memory(tmp_path, bundle):
    film = tmp_path / "clinic" / "film.mp4"
    film.parent.mkdir()
    with film.open("wb") as stream:
        stream.truncate(3 << 30)  # sparse: takes no room
    _, rows = _score(film.parent, bundle, tmp_path / "p.csv")
    assert rows["film.mp4"]["reason"] == "3.2 GB is too large for a photograph"


def test_an_unforeseen_error_is_a_row_and_the_next_file_is_scored(zoo, bundle, tmp_path, monkeypatch):
    real = Scorer.score

    def score(self, data, **named):
        if data.startswith(b"%PDF"):
            raise ZeroDivisionError("of zero")
        return real(self, data, **named)

    monkeypatch.setattr(Scorer, "score", score)
    _, rows = _score(zoo, bundle, tmp_path / "p.csv")
    assert rows["report.pdf"]["reason"] == "internal error, please report it: ZeroDivisionError: of zero"
    assert rows["truncated.jpg"]["status"] == "failed"


def test_an_interrupted_run_keeps_its_rows_and_writes_no_table(zoo, bundle, tmp_path, monkeypatch):
    real, done = Journal.finish, []

    def finish(self, *arguments, **named):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(arguments)
        return real(self, *arguments, **named)

    monkeypatch.setattr(Journal, "finish", finish)
    out = tmp_path / "p.csv"
    with pytest.raises(KeyboardInterrupt):
        score_in_process(zoo, bundle, out)
    assert not out.exists()
    assert len(_rows(partial_path(out))) == 5
    assert journal_path(out).exists()


def test_the_table_is_whole_or_absent(zoo, bundle, tmp_path, monkeypatch):
    out = tmp_path / "p.csv"
    out.write_text("earlier")
    seen = []
    real = Journal.finish

    def finish(self, *arguments, **named):
        seen.append(out.read_text())
        return real(self, *arguments, **named)

    monkeypatch.setattr(Journal, "finish", finish)
    score_in_process(zoo, bundle, out)
    assert set(seen) == {"earlier"}
    assert out.read_text().startswith("schema_version")
    assert not partial_path(out).exists()


def test_nothing_to_score_is_an_error(tmp_path, bundle):
    empty = tmp_path / "empty" / "deeper"
    empty.mkdir(parents=True)
    for folder, what in ((tmp_path / "absent", "no such folder"), (tmp_path / "empty", "no files")):
        with pytest.raises(DataError, match=what):
            score_in_process(folder, bundle, tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()
    assert not partial_path(tmp_path / "p.csv").exists()


def test_a_table_that_cannot_be_written_is_an_error(zoo, bundle, tmp_path):
    (tmp_path / "dir.csv").mkdir()
    (tmp_path / "file").touch()
    for out in (tmp_path / "dir.csv", tmp_path / "file" / "p.csv"):
        with pytest.raises(DataError, match="cannot be written"):
            score_in_process(zoo, bundle, out)
        assert not journal_path(out).exists()  # nothing was scored that could not be written in the end


def test_a_table_inside_the_bundle_would_break_it(zoo, bundle):
    with pytest.raises(DataError, match="inside the bundle"):
        score_in_process(zoo, bundle, bundle / "configs" / "p.csv")
    assert not (bundle / "configs" / "p.csv.journal").exists()


@pytest.mark.parametrize("arguments", [[""], ["clinic", ""], ["--list", ""]])
def test_an_empty_source_is_not_this_folder(bundle, tmp_path, capsys, arguments):
    assert cli.main(["score", *arguments, "--bundle", str(bundle), "--out", str(tmp_path / "p.csv")]) == 2
    assert "no photographs are named" in capsys.readouterr().err


def test_a_linked_folder_is_walked_and_a_cycle_ends(tmp_path):
    root = tmp_path / "root"
    (root / "x").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").touch()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    (root / "x" / "self").symlink_to(root / "x")
    rules = FolderRules(follow_links=True)
    assert {entry.relative: entry.problem for entry in list_entries([str(root)], rules=rules)} == {
        "linked/1.jpg": "",
        "linked/back": "link to a folder above it",
        "x/self": "link to a folder above it",
    }


SCORED = Score(
    Status.SCORED, "", "s" * 64, "ab" * 32, 0.9, Grading(2, (0.1, 0.1, 0.6, 0.1, 0.1), 2.0, True, 0.8, False, False)
)


def cells(score):
    row = make_row(Entry("x", "x"), score, image_id="x", duplicate_of="", bundle_id="b")
    return PREDICTIONS.cells(row)


@pytest.mark.parametrize("status", [Status.UNGRADABLE, Status.NOT_FUNDUS, Status.FAILED])
def test_only_a_scored_row_shows_a_grade(status):
    score = Score(status, "why", "s" * 64, "ab" * 32, 0.1, SCORED.grading)
    row = cells(score)
    assert tuple(row) == PREDICTIONS.columns
    assert [row[column] for column in ("grade", "p0", "expected_grade", "referable", "vision_threatening")] == [""] * 5
    assert row["needs_human"] == "1"


def test_a_scored_row_has_every_column():
    row = cells(SCORED)
    assert tuple(row) == PREDICTIONS.columns
    assert row["grade"] == "2"
    assert row["referable"] == "1"
    assert row["needs_human"] == "0"
    assert float(row["p2"]) == pytest.approx(0.6)


def test_the_command_counts_each_status_and_exits_0(zoo, bundle, tmp_path, capsys):
    out = tmp_path / "p.csv"
    assert cli.main(["score", str(zoo), "--bundle", str(bundle), "--out", str(out), "--threads", "2"]) == 0
    said = capsys.readouterr().out
    rows = _rows(out)
    for status in Status:
        assert f"{sum(row['status'] == status for row in rows)} {status}" in said
    assert RESEARCH_USE in said


def test_the_command_refuses_a_changed_bundle(zoo, bundle, tmp_path, capsys):
    bad = shutil.copytree(bundle, tmp_path / "bad")
    (bad / "MODEL_CARD.md").write_text("trust me")
    assert cli.main(["score", str(zoo), "--bundle", str(bad), "--out", str(tmp_path / "p.csv")]) == 2
    assert "MODEL_CARD.md was altered" in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()
    assert cli.main(["verify", str(bad)]) == 2
    assert cli.main(["verify", str(bundle)]) == 0
    assert "intact" in capsys.readouterr().out


def test_the_command_says_where_the_rows_of_an_interrupted_run_are(zoo, bundle, tmp_path, capsys, monkeypatch):
    def interrupt(self, *arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "finish", interrupt)
    assert cli.main(["score", str(zoo), "--bundle", str(bundle), "--out", str(tmp_path / "p.csv")]) == 130
    assert "p.csv.partial" in capsys.readouterr().err


@pytest.mark.parametrize("threads", ["0", "-1", "two", "²"])
def test_the_command_refuses_a_senseless_number_of_threads(threads, bundle, tmp_path):
    with pytest.raises(SystemExit):
        cli.main(["score", str(tmp_path), "--bundle", str(bundle), "--out", "p.csv", "--threads", threads])


def test_originals_of_idrid_are_scored_within_a_bundle(idrid_dir, bundle, tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(idrid_dir.rglob("*.jpg"))[:4]:
        (folder / path.name).symlink_to(path)
    summary = score_in_process(folder, bundle, tmp_path / "p.csv", rules=FolderRules(follow_links=True))
    assert summary.by_status[Status.SCORED] == 4


def test_a_loaded_model_scores_what_it_can_and_says_why_not(zoo, scorer, monkeypatch):
    class Table(list):
        def __init__(self, rows, columns=(), dtype=None):
            super().__init__(rows)

        def __contains__(self, column):
            return column in ("path", "image")

        def to_dict(self, _):
            return list(self)

    real = Scorer.score

    def score(self, data, **named):
        if data == b"odd":
            raise ZeroDivisionError("of zero")
        return real(self, data, **named)

    monkeypatch.setattr(Scorer, "score", score)
    os.mkfifo(zoo / "pipe")  # read like a file it would block for ever
    told = PyfuncGrader(scorer).predict(
        Table([{"path": str(zoo / "pipe")}, {"path": "a\0b"}, {"image": b"odd"}, {"path": str(zoo / "a/img2.jpg")}])
    )
    assert told[0]["reason"] == "not a regular file"
    assert told[1]["status"] == told[2]["status"] == "failed"
    assert "ZeroDivisionError" in told[2]["reason"]
    assert told[3]["status"] == "scored"


def test_folders_without_end_are_a_row(tmp_path):
    made = tmp_path.joinpath(*"a" * 202)
    made.mkdir(parents=True)
    (made / "a.jpg").write_bytes(b"")
    (tmp_path / "a/b.jpg").write_bytes(b"")
    deep, near = list_entries([str(tmp_path)])
    assert deep.problem == "folder not opened: it lies more than 200 folders deep"
    assert (near.relative, near.problem) == ("a/b.jpg", "")


def test_no_name_of_a_patient_is_in_a_message(zoo, bundle, tmp_path, capsys):
    for name in ("Doe^Jane.jpg", "Doe Jane/1.jpg", "Doe-broken.png"):
        (zoo / name).parent.mkdir(exist_ok=True)
        (zoo / name).write_bytes(photograph(9) if name != "Doe-broken.png" else b"\x89PNG\r\n\x1a\n")
    out = tmp_path / "p.csv"
    command = ["score", str(zoo), "--bundle", str(bundle), "--out", str(out), "--workers", "1"]
    assert cli.main(command) == 0
    assert cli.main(["replay", str(out), "--bundle", str(bundle), "--sample", "30"]) == 0
    captured = capsys.readouterr()
    assert "Doe" not in captured.out + captured.err
    assert "Doe" not in manifest_path(out).read_text()
    assert any("Doe^Jane" in row["path"] for row in _rows(out))


def test_the_process_that_writes_the_table_loads_no_library_of_the_workers():
    modules = "dr_pipeline.scoring.folder, dr_pipeline.scoring.watch, dr_pipeline.engines.local"
    code = f"import sys, {modules}; sys.exit(bool({{'numpy', 'cv2', 'onnxruntime'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
