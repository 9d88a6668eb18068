"""What systems and programs leave in a folder is known by its name; a photograph's own name never is."""

import os
from pathlib import Path

import pytest

from dr_pipeline.folder_rules import (
    IGNORED_FILES,
    SYSTEM_FILES,
    FolderRules,
    count_files,
    describe_counts,
    is_system_name,
)
from tests.factories import zoo


@pytest.mark.parametrize("name", zoo.SYSTEM_FILES)
def test_each_is_left_out_by_itself_or_by_its_folder(name: str) -> None:
    parts = name.split("/")
    assert any(is_system_name(part) for part in parts)
    assert SYSTEM_FILES in {FolderRules().left_out("/".join(parts[: end + 1])) for end in range(len(parts))}


@pytest.mark.parametrize(
    "name",
    [
        *("@EADIR", "#Recycle", "$recycle.bin", "thumbs.DB", "Desktop.INI", "ehthumbs_vista.db", "._", ".ds_store"),
        *("left.jpg:Zone.Identifier", "left.jpg@SynoEAStream", ".~lock.labels.csv#", ".nfs000000000a1b", "FOUND.000"),
        *("~snapshot", ".Trash-1000", ".com.apple.timemachine.supported", ".picasaoriginals", ".git"),
    ],
)
def test_in_any_case_and_by_pattern(name: str) -> None:
    assert is_system_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "left.jpg",
            "recycle",
            "Thumbs",
            "icon",
            "Icons",
            "eaDir",
            "_left.jpg",
            ".left.jpg",
            "found.jpg",
            "trash.jpg",
        ),
        *("snapshot.jpg", "@left.jpg", "#12.jpg", "$1.jpg", "~left.jpg", "lost.jpg", "desktop.ini.jpg", "FOUND.jpg"),
    ],
)
def test_a_photograph_is_none_of_them(name: str) -> None:
    assert not is_system_name(name)


@pytest.mark.parametrize(
    ("pattern", "ignored", "kept"),
    [
        ("thumb_*", "a/THUMB_1.jpg", "a/my_thumb.jpg"),
        ("backup", "2019/backup", "2019/backup.jpg"),
        ("2019/*", "2019/a/b.jpg", "2020/a/b.jpg"),
        ("*.bak", "x.jpg.bak", "x.jpg"),
        ("[ab].jpg", "b.jpg", "c.jpg"),
    ],
)
def test_patterns_of_the_user(pattern: str, ignored: str, kept: str) -> None:
    rules = FolderRules(ignore=(pattern,))
    assert rules.left_out(ignored) == IGNORED_FILES
    assert rules.left_out(kept) == ""


def test_a_link_leads_out_by_its_target_not_by_its_text(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "a" / "x.jpg").touch()
    (tmp_path / "root2").mkdir()
    links = {"in": "a/x.jpg", "through": "../root/a/x.jpg", "up": "..", "sibling": "../root2"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    real = root.resolve()
    assert [name for name in links if FolderRules().leads_out(root / name, real)] == ["up", "sibling"]
    assert not any(FolderRules(follow_links=True).leads_out(root / name, real) for name in links)


def test_files_of_a_folder_are_counted_without_following_links(tmp_path: Path) -> None:
    folder = tmp_path / "@eaDir"
    (folder / "left.jpg").mkdir(parents=True)
    for name in ("left.jpg/SYNOPHOTO_THUMB_XL.jpg", "left.jpg/SYNOPHOTO_THUMB_S.jpg", "x"):
        (folder / name).touch()
    (folder / "up").symlink_to("..")
    assert count_files(folder) == 4
    assert count_files(tmp_path / "nowhere") == 1


def test_the_names_of_files_that_are_not_utf8_are_no_obstacle() -> None:
    assert not is_system_name(os.fsdecode(b"caf\xe9.jpg"))
    assert is_system_name(os.fsdecode(b"._caf\xe9.jpg"))


def test_counts_are_described_largest_first() -> None:
    assert describe_counts({"text": 2, "system files": 75, "HEIC": 2}) == "75 system files, 2 HEIC, 2 text"
    assert describe_counts({}) == ""
