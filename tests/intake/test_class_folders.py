"""Class folders: grade and official part by the folders' names, whatever lies around them."""

from pathlib import Path

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.intake.class_folders import Placed, read_class_folders
from dr_pipeline.intake.coded_values import PLAIN, CodedValues
from dr_pipeline.schema import Split

ROOT = Path("root")
WORDS = CodedValues(
    grades={"No_DR": 0, "Mild": 1, "Proliferate_DR": 4}, ungradable=("bad",), params_key="dataset.folder.values"
)


def read(*paths: str, values: CodedValues = PLAIN) -> dict[str, tuple[int | None, str]]:
    placed = read_class_folders(paths, values, where=ROOT)
    return {path: (place.grade, place.part or "") for path, place in placed.items()}


def refusal(*paths: str, values: CodedValues = PLAIN) -> str:
    with pytest.raises(DataError) as caught:
        read_class_folders(paths, values, where=ROOT)
    return str(caught.value)


def test_numbers_and_words() -> None:
    assert read("0/a.jpg", "4/deep/b.jpg") == {"0/a.jpg": (0, ""), "4/deep/b.jpg": (4, "")}
    assert read("No_DR/a.jpg", "proliferate dr/b.jpg", values=WORDS) == {
        "No_DR/a.jpg": (0, ""),
        "proliferate dr/b.jpg": (4, ""),
    }


def test_parts_around_classes() -> None:
    paths = ("train/No_DR/a.jpg", "val/Mild/b.jpg", "Test/No_DR/c.jpg", "valid/bad/d.jpg")
    assert read(*paths, values=WORDS) == {
        "train/No_DR/a.jpg": (0, "train"),
        "val/Mild/b.jpg": (1, "validation"),
        "Test/No_DR/c.jpg": (0, "test"),
        "valid/bad/d.jpg": (None, "validation"),
    }


def test_folders_around_all_of_them_do_not_count() -> None:
    assert read("x/y/0/a.jpg", "x/y/1/b.jpg") == {"x/y/0/a.jpg": (0, ""), "x/y/1/b.jpg": (1, "")}
    assert read("set/train/images/0/a.jpg", "set/test/images/2/b.jpg") == {
        "set/train/images/0/a.jpg": (0, "train"),
        "set/test/images/2/b.jpg": (2, "test"),
    }
    assert read("cover.jpg", "archive/No_DR/a.jpg", values=WORDS) == {"archive/No_DR/a.jpg": (0, "")}


def test_one_class_folder_alone_is_one() -> None:
    assert read("2/a.jpg", "2/b/c.jpg") == {"2/a.jpg": (2, ""), "2/b/c.jpg": (2, "")}
    assert read("train/2/a.jpg") == {"train/2/a.jpg": (2, "train")}


def test_photographs_beside_the_class_folders_are_absent() -> None:
    assert read("0/a.jpg", "1/b.jpg", "new/c.jpg", "d.jpg", "test/e.jpg") == {"0/a.jpg": (0, ""), "1/b.jpg": (1, "")}


def test_a_copy_of_the_set_beside_it_is_not_read_too() -> None:
    message = refusal("colored/0/a.jpg", "gaussian/0/a.jpg")
    assert "no class and no official part contain class folders: colored, gaussian (2 in all)" in message
    assert "dataset.ignore: [colored]" in message
    assert "backup (1 in all)" in refusal("0/a.jpg", "1/b.jpg", "backup/old/0/a.jpg")


def test_a_part_by_another_word_is_not_lost() -> None:
    paths = ("train/0/a.jpg", "development/1/b.jpg")
    assert "contain class folders: development (1 in all)" in refusal(*paths)
    values = CodedValues(parts={"development": Split.VALIDATION})
    assert read(*paths, values=values)["development/1/b.jpg"] == (1, "validation")


def test_folders_without_a_meaning_are_named() -> None:
    message = refusal("images/anna/a.jpg", "images/bob/b.jpg")
    assert "no photograph is in a class folder named 0, 1, 2, 3 or 4; found the folders anna, bob" in message


def test_words_without_a_map_are_named_and_a_map_is_proposed() -> None:
    message = refusal(
        "No_DR/a.jpg", "Mild/b.jpg", "Severe/c.jpg", values=CodedValues(params_key="dataset.folder.values")
    )
    assert "class folders other than 0, 1, 2, 3, 4: Mild, No_DR, Severe (3 in all)" in message
    assert "dataset.folder.values.grade: {No_DR: 0, Mild: 1, Severe: 3}" in message


def test_a_class_that_the_map_lacks_is_refused_and_not_left_aside() -> None:
    message = refusal("No_DR/a.jpg", "Proliferative_DR/b.jpg", values=WORDS)
    assert "Proliferative_DR (1 in all)" in message
    assert "Proliferative_DR: 4" in message


@pytest.mark.parametrize("path", ["5/a.jpg", "-1/a.jpg", "moderate/a.jpg"])
def test_folders_that_look_like_a_class_are_refused(path: str) -> None:
    assert "class folders other than" in refusal("0/b.jpg", path)


def test_no_folder_at_all() -> None:
    assert "found no folder" in refusal("a.jpg")


def test_the_type_holds_what_the_folders_say() -> None:
    assert read_class_folders(["train/3/a.jpg"], PLAIN, where=ROOT) == {"train/3/a.jpg": Placed(3, Split.TRAIN)}
