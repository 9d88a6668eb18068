"""Birth dates and studies of photographs, from the table that `score --people` takes."""

from pathlib import Path

import pytest

from dr_pipeline.clinic.results.photograph_facts import read_photograph_facts
from dr_pipeline.errors import DataError
from tests.factories.predictions import predictions

ROWS, _ = predictions([("P", "", "R0 L0 L1")])


def facts(folder: Path, text: str):
    path = folder / "people.csv"
    path.write_text(text, encoding="utf-8")
    return read_photograph_facts(path, ROWS)


def test_facts_are_found_by_path_or_name_and_dates_compare(tmp_path: Path) -> None:
    found = facts(
        tmp_path,
        "patient,Path,birth_date,study_uid\n"
        "P,image-0000.jpg,1950-02-01,1.2.3\nP,./image-0001.jpg,19500201,\nP,gone.jpg,1960,\n",
    )
    assert found.birth_dates == {"image-0000": "19500201", "image-0001": "19500201"}
    assert found.study_uids == {"image-0000": "1.2.3"}
    assert found.num_unmatched == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,birth_date\nx,1950\n", "needs a column path, file, filename or image"),
        ("path,patient\nimage-0000.jpg,P\n", "one of birth_date and study_uid"),
        ("path,birth_date\nimage-0000.jpg,1950\nimage-0000.jpg,1951\n", "an earlier row has another birth_date"),
        ("path,birth_date\nimage-0000.jpg\n", "more or fewer cells"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        facts(tmp_path, text)
    assert message in str(caught.value)
    assert "1950" not in str(caught.value)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the table needs"):
        read_photograph_facts(tmp_path / "none.csv", ROWS)
