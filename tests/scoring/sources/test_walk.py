"""What of a folder is scored: every file but a system's own; no link leads out unless it is asked for."""

from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.scoring.sources.entry import count_left_out
from dr_pipeline.scoring.sources.listing import list_entries
from tests.factories.bundles import make_bundle, photograph


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_a_systems_files_are_left_out_and_each_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", ".hidden.jpg", "b/c.jpg", "@eaDir/a.jpg/S.jpg", "@eaDir/a.jpg/XL.jpg", "b/._c.jpg")
    touch(tmp_path, "#recycle/x/y.jpg", "Thumbs.db", "old/d.jpg", "old/e.jpg")
    entries = list_entries([str(tmp_path)], rules=FolderRules(ignore=("old",)))
    assert [entry.relative for entry in entries if not entry.left_out] == [".hidden.jpg", "a.jpg", "b/c.jpg"]
    assert count_left_out(entries) == {"system files": 5, "ignored files": 2}


def test_a_link_upwards_does_not_reach_the_rest_of_the_machine(tmp_path: Path) -> None:
    root = tmp_path / "clinic"
    touch(tmp_path, "secret.jpg", "other/b.jpg", "clinic/a.jpg", "clinic/inner/c.jpg")
    targets = {
        "up": "..",
        "etc": "/etc",
        "file.jpg": "../secret.jpg",
        "self": ".",
        "in": "inner",
        "c.jpg": "inner/c.jpg",
    }
    for name, target in targets.items():
        (root / name).symlink_to(target)
    problems = {entry.relative: entry.problem for entry in list_entries([str(root)])}
    outside = "link out of the folder, not followed (see --follow-links)"
    assert problems == {
        "a.jpg": "",
        "c.jpg": "",
        "etc": outside,
        "file.jpg": outside,
        "in/c.jpg": "",
        "inner/c.jpg": "",
        "self": "link to a folder above it",
        "up": outside,
    }


def test_links_out_are_followed_by_request(tmp_path: Path) -> None:
    touch(tmp_path, "other/b.jpg", "clinic/a.jpg")
    (tmp_path / "clinic" / "linked").symlink_to(tmp_path / "other")
    entries = list_entries([str(tmp_path / "clinic")], rules=FolderRules(follow_links=True))
    assert {entry.relative: entry.problem for entry in entries} == {"a.jpg": "", "linked/b.jpg": ""}


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    touch(tmp_path, "clinic/a.jpg", "clinic/inner/b.jpg")
    (tmp_path / "clinic" / "again").symlink_to("inner")
    (tmp_path / "link").symlink_to("clinic")
    assert [entry.problem for entry in list_entries([str(tmp_path / "link")])] == ["", "", ""]


def test_a_folder_with_a_systems_files_only_is_refused_with_their_number(tmp_path: Path) -> None:
    touch(tmp_path, "@eaDir/a.jpg", ".DS_Store")
    with pytest.raises(DataError, match="no files to score but 2 system files"):
        list_entries([str(tmp_path)])


def test_the_command_accounts_for_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    touch(bundle, ".DS_Store", "._model.onnx", "Thumbs.db", "@eaDir/model.onnx/x")  # seen by a Mac and a file server
    folder, out = tmp_path / "clinic", tmp_path / "p.csv"
    touch(folder, "@eaDir/a.jpg/S.jpg", "@eaDir/a.jpg/M.jpg", "._a.jpg", "thumb_a.jpg")
    for name in ("a.jfif", "b"):
        (folder / name).write_bytes(photograph(len(name)))
    (folder / "up").symlink_to("..")
    arguments = ["score", str(folder), "--bundle", str(bundle), "--out", str(out), "--ignore", "thumb_*"]
    assert cli.main(arguments) == 0
    assert "7 files = 3 rows + 4 left out (3 system files, 1 ignored files): 2 scored" in capsys.readouterr().out
    assert [row["status"] for row in read_csv(out)] == ["scored", "scored", "failed"]
    assert cli.main([*arguments, "--follow-links", "--ignore", "p.csv*", "--ignore", "bundle"]) == 0
    assert "link" not in " ".join(row["reason"] for row in read_csv(out) if row["path"] != "up/clinic")
