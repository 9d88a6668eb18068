"""What is read is not written over, and pictures of a run do not lie among its photographs."""

from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.errors import DataError
from dr_pipeline.scoring.input_safety import require_apart, require_not_read
from dr_pipeline.scoring.sources.entry import Entry
from tests.factories.bundles import make_bundle, photograph


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made") / "release")


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    folder = tmp_path / "clinic"
    (folder / "eyes").mkdir(parents=True)
    (folder / "eyes" / "a.png").write_bytes(photograph(0))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_the_same_by_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, link = tmp_path / "table.csv", tmp_path / "link.csv"
    table.touch()
    link.symlink_to(table)
    monkeypatch.chdir(tmp_path)
    for output in (table, link, Path("table.csv"), Path("x/../table.csv")):
        with pytest.raises(DataError, match="is read here") as refused:
            require_not_read((None, output), (None, table))
        assert refused.value.where == str(output)
    require_not_read((tmp_path / "other.csv", None), (table, link, None))


@pytest.mark.parametrize("place", ["", "eyes", "new", "eyes/new", "../clinic", "../link/new"])
def test_a_folder_of_pictures_is_none_of_photographs(clinic: Path, place: str) -> None:
    (clinic.parent / "link").symlink_to(clinic)
    with pytest.raises(DataError, match="pictures would lie among the photographs"):
        require_apart(clinic / place, [str(clinic)])


def test_the_folder_of_a_single_or_listed_photograph_is_one_of_photographs(clinic: Path) -> None:
    one = str(clinic / "eyes" / "a.png")
    with pytest.raises(DataError, match="pictures would lie among the photographs"):
        require_apart(clinic / "eyes", [one], [Entry("a.png", one)])
    require_apart(clinic / "eyes" / "new", [one], [Entry("a.png", one)])
    require_apart(clinic.parent / "out", [str(clinic), "s3://bucket/clinic"], [Entry("b.png", "s3://bucket/clinic")])


@pytest.mark.parametrize("place", ["eyes", "", "eyes/explained"])
def test_explain_writes_over_no_photograph(bundle: Path, clinic: Path, place: str) -> None:
    before = contents(clinic)
    for source in (clinic, clinic / "eyes" / "a.png"):
        if source == clinic or place == "eyes":
            assert cli.main(["explain", str(source), "--bundle", str(bundle), "--out", str(clinic / place)]) == 2
    assert contents(clinic) == before


def test_commands_write_over_no_input(bundle: Path, clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = clinic.parent
    table, people, names = root / "scored.csv", root / "people.csv", root / "names.csv"
    people.write_text("path,patient\neyes/a.png,P1\n")
    names.write_text("clinic/eyes/a.png\n")
    score = ["score", str(clinic), "--bundle", str(bundle), "--workers", "1"]
    assert cli.main([*score, "--out", str(table)]) == 0
    labels = root / "labels.csv"
    labels.write_text("image_id,grade\na,0\n")
    before = contents(root)
    refused = [
        [*score, "--people", str(people), "--out", str(people)],
        ["score", "--list", str(names), "--bundle", str(bundle), "--out", str(names)],
        ["score", str(table), "--bundle", str(bundle), "--out", str(table)],
        ["results", str(table), "--out", str(root / "results"), "--fhir", str(table)],
        ["evaluate", str(table), "--labels", str(labels), "--out", str(labels)],
        ["labels", "--predictions", str(table), "--out", str(table)],
        ["merge", str(table), str(table)],
        ["review", str(table), "--readings", str(labels), "--out", str(labels)],
    ]
    for words in refused:
        assert cli.main(words) == 2, words
        assert "this file is read here, and would be written over" in capsys.readouterr().err, words
    assert cli.main(["review", str(table), "--out", str(clinic / "review")]) == 2
    assert "pictures would lie among the photographs" in capsys.readouterr().err
    assert contents(root) == before
