"""GDRBench in the layout of its README and its split files; the photographs are drawn."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.intake.adapters import read_dataset
from dr_pipeline.intake.adapters.gdrbench import SETS
from dr_pipeline.intake.records import Intake
from dr_pipeline.intake.run_intake import run_intake
from dr_pipeline.recipes.compose import Recipe
from dr_pipeline.schema import Eye
from tests.factories.layouts import dataset, photograph

CLASSES = ("nodr", "mild_npdr", "moderate_npdr", "severe_npdr", "pdr")
# A name in each set as its split files have them.
NAMES = {
    "APTOS": "000c1434d8d{}.png",
    "DEEPDR": "1_l{}.jpg",
    "FGADR": "000{}_1.png",
    "IDRID": "IDRiD_00{}.jpg",
    "MESSIDOR": "20051020_4380{}_0100_PP.png",
    "RLDR": "738{}_right.jpg",
    "DDR": "007-000{}-000.jpg",
    "EYEPACS": "738{}_left.jpeg",
}


def draw(root: Path, names: Sequence[str] = SETS, *, folder: str = "") -> None:
    """Five training photographs and two of cross-validation of each set; IDRID has one name in both."""
    for name in names:
        lines: dict[str, list[str]] = {"train": [], "crossval": []}
        for number in range(7):
            part, grade = ("train", number) if number < 5 else ("crossval", (0, 4)[number - 5])
            file = NAMES[name].format(number if name != "IDRID" or part == "train" else number - 5 + 2)
            place = f"{name}/{'Images' if name == 'EYEPACS' else CLASSES[grade]}/{file}"
            photograph(root / "images" / place.replace(name, folder or name, 1))
            photograph(root / "masks" / place)
            lines[part].append(f"{place} {grade}")
        for part, rows in lines.items():
            table = root / "splits" / f"{name}_{part}.txt"
            table.parent.mkdir(exist_ok=True)
            table.write_text("\n".join(rows) + "\n")


def read(root: Path) -> Intake:
    return read_dataset(root, dataset("gdrbench"))


def test_eight_sets_are_eight_sites_with_the_benchmarks_parts(tmp_path: Path) -> None:
    draw(tmp_path)
    result = run_intake(tmp_path, dataset("gdrbench"))
    assert len(result.manifest) == 7 * len(SETS) == len({row.image_id for row in result.manifest})
    assert {row.site for row in result.manifest} == set(SETS)
    for name in SETS:
        of_set = [row for row in result.manifest if row.site == name]
        assert sorted(row.grade for row in of_set if row.official_split == "train") == [0, 1, 2, 3, 4]
        assert sorted(row.grade for row in of_set if row.official_split == "validation") == [0, 4]
    assert not any("masks" in row.path for row in result.manifest)
    assert result.report["orphans"] == {"rows": [], "files": []}


def test_patients_are_known_where_the_names_have_them_and_shared_by_eyepacs_and_rldr(tmp_path: Path) -> None:
    draw(tmp_path)
    records = read(tmp_path).records
    assert {record.site for record in records if record.patient_id} == {"DEEPDR", "EYEPACS", "RLDR"}
    eyes = {(record.site, record.patient_id, record.eye) for record in records}
    assert {("RLDR", "eyepacs_7380", Eye.RIGHT), ("EYEPACS", "eyepacs_7380", Eye.LEFT)} <= eyes
    assert ("DEEPDR", "deepdr_1", Eye.LEFT) in eyes


def test_some_sets_are_enough_in_the_readmes_spelling_and_the_others_are_named(tmp_path: Path) -> None:
    draw(tmp_path, ["DEEPDR"], folder="DeepDR")
    draw(tmp_path, ["APTOS"])
    intake = read(tmp_path)
    assert {record.site for record in intake.records} == {"DEEPDR", "APTOS"}
    assert any("FGADR, IDRID, MESSIDOR, RLDR, DDR, EYEPACS" in warning for warning in intake.warnings)


def test_what_differs_from_the_layout_is_refused_or_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no split files such as APTOS_train\.txt"):
        read(tmp_path)
    draw(tmp_path, ["APTOS", "DDR"])
    (tmp_path / "images/APTOS/nodr/000c1434d8d0.png").unlink()
    photograph(tmp_path / "images/APTOS/pdr/new.png")
    intake = read(tmp_path)
    assert intake.orphan_rows == ("images/APTOS/nodr/000c1434d8d0.png",)
    assert intake.orphan_files == ("images/APTOS/pdr/new.png",)
    table = tmp_path / "splits/DDR_train.txt"
    good = table.read_text()
    for wrong, message in (
        (good + "DDR/nodr/x.jpg\n", r"not a path DDR/… and a grade: DDR/nodr/x\.jpg"),
        (good.replace("DDR/", "APTOS/"), "not a path DDR/… and a grade"),
        (good + ". 3\n/ 3\n", "not a path DDR/… and a grade"),
        (good.replace(" 4", " 5"), "5"),
        ("", "no lines"),
    ):
        table.write_text(wrong)
        with pytest.raises(DataError, match=message):
            read(tmp_path)
    table.unlink()
    with pytest.raises(DataError, match=r"DDR_train\.txt"):
        read(tmp_path)
    table.write_text(good)
    (tmp_path / "images/DDR").rename(tmp_path / "images/DDRX")
    with pytest.raises(DataError, match="found 0 folders of the set DDR"):
        read(tmp_path)


def test_the_recipe_reads_it() -> None:
    recipe = Recipe("gdrbench")
    assert (recipe.adapter, recipe.reads_source) == ("gdrbench", True)
