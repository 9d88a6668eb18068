import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline import cli
from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.fundus import decode
from dr_pipeline.schema import RESEARCH_USE, Status
from dr_pipeline.scoring.folder import partial_path, score_folder
from dr_pipeline.scoring.prediction_rows import PredictionRows
from dr_pipeline.scoring.pyfunc import PyfuncGrader
from dr_pipeline.scoring.scorer import Grading, Score, Scorer, failed
from dr_pipeline.scoring.sources import walk
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.listing import list_entries
from dr_pipeline.tables.predictions import PREDICTIONS, VERSION
from tests.factories.bundles import encode, make_bundle, photograph

pytestmark = pytest.mark.slow

FORMULA_NAMES = ("=cmd()", "+1", "-2", "@x", "\ttab")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("made") / "release")


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


def _score(folder, scorer, out, threads=2):
    summary = score_folder(folder, scorer, out, threads=threads)
    return summary, {row["path"]: row for row in _rows(out)}


def test_every_file_has_exactly_one_row(zoo, scorer, tmp_path):
    summary, rows = _score(zoo, scorer, tmp_path / "p.csv")
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
def test_each_kind_of_file_gets_its_row(zoo, scorer, tmp_path, path, status, reason):
    _, rows = _score(zoo, scorer, tmp_path / "p.csv")
    assert rows[path]["status"] == status
    assert reason in rows[path]["reason"]
    if status != "scored":
        assert rows[path]["needs_human"] == "1"


def test_no_cell_is_a_formula(zoo, scorer, tmp_path):
    _, rows = _score(zoo, scorer, tmp_path / "p.csv")
    for name in FORMULA_NAMES:
        assert f"'{name}.jpg" in rows
    for row in rows.values():
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())


def test_a_duplicate_is_linked_to_the_first_and_still_graded(zoo, scorer, tmp_path):
    _, rows = _score(zoo, scorer, tmp_path / "p.csv")
    first, second = rows["caf\\xe9.jpg"], rows["copy.jpg"]
    assert first["duplicate_of"] == ""
    assert second["duplicate_of"] == rows["copy.png"]["duplicate_of"] == first["image_id"]
    assert second["grade"] == first["grade"] != ""
    assert rows["link.jpg"]["duplicate_of"] == rows["a/img2.jpg"]["image_id"]


def test_rows_stand_in_natural_order_and_threads_do_not_change_a_byte(zoo, scorer, tmp_path):
    for threads in (1, 4):
        score_folder(zoo, scorer, tmp_path / f"{threads}.csv", threads=threads)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "4.csv").read_bytes()
    paths = [row["path"] for row in _rows(tmp_path / "1.csv")]
    assert paths.index("a/img2.jpg") + 1 == paths.index("a/img10.jpg")


def test_one_file_is_a_folder_of_one(zoo, scorer, tmp_path):
    summary, rows = _score(zoo / "a" / "img2.jpg", scorer, tmp_path / "p.csv")
    assert summary.files == 1
    assert list(rows) == ["img2.jpg"]


def test_the_own_table_inside_the_folder_is_left_out_and_said(zoo, scorer):
    out = zoo / "predictions.csv"
    first, _ = _score(zoo, scorer, out)
    second, rows = _score(zoo, scorer, out)
    assert second.files == first.files
    assert "predictions.csv" not in rows
    assert second.left_out == (out,)
    assert first.left_out == ()


def test_a_folder_that_cannot_be_listed_is_a_row(zoo, scorer, tmp_path, monkeypatch):
    real = os.scandir

    def scandir(path):
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(walk.os, "scandir", scandir)
    _, rows = _score(zoo, scorer, tmp_path / "p.csv")
    assert rows["b/deep"]["reason"] == "folder cannot be opened: Permission denied"


def test_a_file_that_vanishes_or_cannot_be_read_is_a_row(zoo, scorer, tmp_path, monkeypatch):
    real = os.open

    def open_file(path, flags, *arguments, **named):
        if str(path).endswith("img2.jpg"):
            raise PermissionError(13, "Permission denied")
        if str(path).endswith("img10.jpg"):
            Path(path).unlink()
        return real(path, flags, *arguments, **named)

    monkeypatch.setattr(decode.os, "open", open_file)
    _, rows = _score(zoo, scorer, tmp_path / "p.csv")
    assert rows["a/img2.jpg"]["reason"] == "the file cannot be read: Permission denied"
    assert rows["a/img10.jpg"]["reason"] == "the file is missing"


def test_a_film_is_not_read_into_memory(tmp_path, scorer):
    film = tmp_path / "clinic" / "film.mp4"
    film.parent.mkdir()
    with film.open("wb") as stream:
        stream.truncate(3 << 30)  # sparse: takes no room
    _, rows = _score(film.parent, scorer, tmp_path / "p.csv")
    assert rows["film.mp4"]["reason"] == "3.2 GB is too large for a photograph"


def test_an_unforeseen_error_is_a_row_and_the_next_file_is_scored(zoo, scorer, tmp_path, monkeypatch):
    real = Scorer.score

    def score(self, data, **named):
        if data.startswith(b"%PDF"):
            raise ZeroDivisionError("of zero")
        return real(self, data, **named)

    monkeypatch.setattr(Scorer, "score", score)
    _, rows = _score(zoo, scorer, tmp_path / "p.csv")
    assert rows["report.pdf"]["reason"] == "internal error, please report it: ZeroDivisionError: of zero"
    assert rows["truncated.jpg"]["status"] == "failed"


def test_an_interrupted_run_keeps_its_rows_and_writes_no_table(zoo, scorer, tmp_path, monkeypatch):
    class Interrupted(PredictionRows):
        made = 0

        def row(self, entry, score):
            if Interrupted.made == 5:
                raise KeyboardInterrupt
            Interrupted.made += 1
            return super().row(entry, score)

    monkeypatch.setattr("dr_pipeline.scoring.folder.PredictionRows", Interrupted)
    out = tmp_path / "p.csv"
    with pytest.raises(KeyboardInterrupt):
        score_folder(zoo, scorer, out, threads=2)
    assert not out.exists()
    assert len(_rows(partial_path(out))) == 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("score")]


def test_the_table_is_whole_or_absent(zoo, scorer, tmp_path, monkeypatch):
    out = tmp_path / "p.csv"
    out.write_text("earlier")
    seen = []
    real = PredictionRows.row

    def row(self, entry, score):
        seen.append(out.read_text())
        return real(self, entry, score)

    monkeypatch.setattr(PredictionRows, "row", row)
    score_folder(zoo, scorer, out, threads=1)
    assert set(seen) == {"earlier"}
    assert out.read_text().startswith("schema_version")
    assert not partial_path(out).exists()


def test_only_a_few_files_are_in_work_at_a_time(tmp_path, scorer, monkeypatch):
    folder = tmp_path / "clinic"
    folder.mkdir()
    for index in range(60):
        (folder / f"{index}.txt").touch()
    started, written, ahead = [], [], []

    def score_entry(entry, scorer):
        started.append(entry)
        return failed("no")

    class Watching(PredictionRows):
        def row(self, entry, score):
            ahead.append(len(started) - len(written))
            written.append(entry)
            return super().row(entry, score)

    monkeypatch.setattr("dr_pipeline.scoring.folder.score_entry", score_entry)
    monkeypatch.setattr("dr_pipeline.scoring.folder.PredictionRows", Watching)
    score_folder(folder, scorer, tmp_path / "p.csv", threads=2)
    assert len(written) == 60
    assert max(ahead) <= 16


def test_nothing_to_score_is_an_error(tmp_path, scorer):
    empty = tmp_path / "empty" / "deeper"
    empty.mkdir(parents=True)
    for folder, what in ((tmp_path / "absent", "no such folder"), (tmp_path / "empty", "no files")):
        with pytest.raises(DataError, match=what):
            score_folder(folder, scorer, tmp_path / "p.csv", threads=1)
    assert not (tmp_path / "p.csv").exists()
    assert not partial_path(tmp_path / "p.csv").exists()


def test_a_table_that_cannot_be_written_is_an_error(zoo, scorer, tmp_path):
    (tmp_path / "dir.csv").mkdir()
    (tmp_path / "file").touch()
    for out in (tmp_path / "dir.csv", tmp_path / "file" / "p.csv"):
        with pytest.raises(DataError, match="cannot be written"):
            score_folder(zoo, scorer, out, threads=1)


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


@given(st.lists(st.binary(min_size=1, max_size=30), unique=True, max_size=40))
def test_ids_are_unique_whatever_the_names(raw_names):
    maker = PredictionRows("b")
    names = [os.fsdecode(name) for name in raw_names]
    ids = [maker.row(Entry(name, name), failed("x")).image_id for name in names]
    assert len(set(ids)) == len(names)
    assert all(ids)
    assert not any(image_id.startswith(("=", "+", "-", "@", "\t", "\r")) or "\n" in image_id for image_id in ids)


@pytest.mark.parametrize("status", [Status.UNGRADABLE, Status.NOT_FUNDUS, Status.FAILED])
def test_only_a_scored_row_shows_a_grade(status):
    score = Score(status, "why", "s" * 64, "ab" * 32, 0.1, SCORED.grading)
    row = PREDICTIONS.cells(PredictionRows("b").row(Entry("x", "x"), score))
    assert tuple(row) == PREDICTIONS.columns
    assert [row[column] for column in ("grade", "p0", "expected_grade", "referable", "vision_threatening")] == [""] * 5
    assert row["needs_human"] == "1"


def test_a_scored_row_has_every_column():
    row = PREDICTIONS.cells(PredictionRows("b").row(Entry("x", "x"), SCORED))
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
    def interrupt(self, entry, score):
        raise KeyboardInterrupt

    monkeypatch.setattr(PredictionRows, "row", interrupt)
    assert cli.main(["score", str(zoo), "--bundle", str(bundle), "--out", str(tmp_path / "p.csv")]) == 130
    assert "p.csv.partial" in capsys.readouterr().err


@pytest.mark.parametrize("threads", ["0", "-1", "two", "²"])
def test_the_command_refuses_a_senseless_number_of_threads(threads, bundle, tmp_path):
    with pytest.raises(SystemExit):
        cli.main(["score", str(tmp_path), "--bundle", str(bundle), "--out", "p.csv", "--threads", threads])


def test_originals_of_idrid_are_scored_within_a_bundle(idrid_dir, scorer, tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(idrid_dir.rglob("*.jpg"))[:4]:
        (folder / path.name).symlink_to(path)
    summary = score_folder(folder, scorer, tmp_path / "p.csv", threads=2, rules=FolderRules(follow_links=True))
    assert summary.by_status[Status.SCORED] == 4


def test_a_loaded_model_scores_what_it_can_and_says_why_not(zoo, scorer, monkeypatch):
    class Table(list):
        def __init__(self, rows, columns=()):
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
