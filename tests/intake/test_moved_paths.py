"""Rows that name a photograph as it lay elsewhere: matched where only one photograph fits, else left alone."""

import pytest

from dr_pipeline.intake.moved_paths import leads_elsewhere, match_moved


def match(keys: list[str], photographs: list[str], claimed: tuple[str, ...] = ()) -> dict[str, list[str]]:
    return match_moved(keys, photographs, all_keys=keys, claimed=claimed).candidates


@pytest.mark.parametrize(
    "key",
    ["/kaggle/input/a.png", "C:\\data\\a.jpg", "c:/a.jpg", "\\\\nas\\share\\a.jpg", "gs://b/a.jpg", "../a.jpg", "~/a"],
)
def test_paths_that_start_elsewhere(key: str) -> None:
    assert leads_elsewhere(key)


@pytest.mark.parametrize("key", ["a.jpg", "2024/a.jpg", "2024\\a.jpg", "./a.jpg", "a~1.jpg", "..a.jpg"])
def test_paths_that_start_at_the_root(key: str) -> None:
    assert not leads_elsewhere(key)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("/kaggle/input/aptos/train_images/a.png", "train_images/a.png"),
        ("/kaggle/input/aptos/train_images/a.png", "a.png"),
        ("/kaggle/input/aptos/train_images/a.png", "images/a.png"),
        ("/kaggle/input/aptos/train_images/a.png", "train_images/a.jpg"),
        ("C:\\Users\\x\\photos\\2024\\a.jpg", "2024/A.JPG"),
        ("\\\\nas\\share\\a.jpg", "a.jpg"),
        ("gs://bucket/set/a.jpg", "set/a.jpg"),
        ("file:///home/x/a.jpg", "a.jpg"),
        ("../images/a.jpg", "images/a.jpg"),
        ("data/images/a.jpg", "images/a.jpg"),
        ("images/a.jpg", "a.jpg"),
        ("a.tif", "a.jpg"),
        ("a.jpg", "2024/a.jfif"),
        ("a", "a.JPG.bak"),
        ("1.1", "images/1.1.jpg"),
        ("/x/é.jpg", "e\u0301.jpg"),
    ],
)
def test_the_end_of_the_path_finds_it(key: str, path: str) -> None:
    assert match([key], [path, "other/z.jpg"]) == {key: [path]}


@pytest.mark.parametrize(
    ("key", "photographs"),
    [
        ("P1/left.jpg", ["P2/left.jpg"]),  # another patient's
        ("/clinic/P1/left.jpg", ["P2/left.jpg", "P3/left.jpg"]),
        ("2024/a.jpg", ["a.jpg", "2024/b.jpg"]),  # its folder is here, the file is missing
        ("a.jpg", ["b.jpg"]),
        ("/x/ba.jpg", ["a.jpg"]),  # an end is made of whole names
    ],
)
def test_what_may_be_another_photograph_is_not_matched(key: str, photographs: list[str]) -> None:
    assert match([key], photographs) == {}


def test_a_file_name_that_two_rows_have_finds_nothing_by_itself() -> None:
    assert match(["/clinic/P1/left.jpg", "/clinic/P2/left.jpg"], ["x/left.jpg"]) == {}
    assert match(["/clinic/P1/left.jpg", "/clinic/P2/left.jpg"], ["P2/left.jpg"]) == {
        "/clinic/P2/left.jpg": ["P2/left.jpg"]
    }


def test_a_photograph_with_its_own_row_is_not_given_to_another() -> None:
    assert match(["a.tif"], ["a.jpg"], claimed=("a.jpg",)) == {}


def test_several_that_fit_are_all_named() -> None:
    assert match(["/x/a.png"], ["a.jpg", "a.tif"]) == {"/x/a.png": ["a.jpg", "a.tif"]}


def test_the_warning_counts_them_and_shows_one() -> None:
    keys = [f"/kaggle/input/{number}.png" for number in range(3)]
    (warning,) = match_moved(keys, ["0.png", "1.png", "2.png"], all_keys=keys, claimed=()).warnings
    assert warning.startswith("3 rows name photographs by a folder or a suffix")
    assert "'/kaggle/input/0.png' with '0.png'" in warning
