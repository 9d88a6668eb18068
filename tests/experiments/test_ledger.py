"""What was opened is noted once, for good, and a damaged ledger is refused as it is."""

from dataclasses import replace
from pathlib import Path

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.experiments.ledger import Opening, configurations_opened, read_openings, record_opening

ONE = Opening("c1", "code1", "photographs", "division")


def note(ledger: Path, combination: Opening, experiment: str = "losses") -> None:
    record_opening(ledger, combination, experiment=experiment, arm="a")


def test_a_combination_is_noted_once_and_other_code_is_another_attempt(tmp_path: Path) -> None:
    ledger = tmp_path / "reports" / "openings.jsonl"
    assert configurations_opened(ledger, "photographs") == 0
    opened = [ONE, replace(ONE, code_sha256="code2"), replace(ONE, configuration="c2"), replace(ONE, division="other")]
    for experiment in ("losses", "knobs"):
        for combination in (*opened, replace(ONE, canvas_index_sha256="others")):
            note(ledger, combination, experiment)
    assert len(ledger.read_text().splitlines()) == 5
    assert "knobs" not in ledger.read_text()
    assert read_openings(ledger)[:4] == opened
    assert configurations_opened(ledger, "photographs") == 3  # of another division it is the same configuration
    assert configurations_opened(ledger, "others") == 1


def test_a_last_line_without_its_end_stays_whole(tmp_path: Path) -> None:
    ledger = tmp_path / "openings.jsonl"
    ledger.write_bytes(b"")
    note(ledger, ONE)
    ledger.write_text(ledger.read_text().rstrip("\n"))
    other = replace(ONE, configuration="c2")
    note(ledger, other)
    assert read_openings(ledger) == [ONE, other]


@pytest.mark.parametrize("line", ["<<<<<<< HEAD", '{"configuration": "c"}', "[]", "", '"c"'])
def test_a_damaged_ledger_is_refused_and_left_as_it_is(tmp_path: Path, line: str) -> None:
    ledger = tmp_path / "openings.jsonl"
    note(ledger, ONE)
    ledger.write_text(f"{ledger.read_text()}{line}\n")
    before = ledger.read_bytes()
    with pytest.raises(DataError, match="damaged") as caught:
        note(ledger, replace(ONE, configuration="c2"))
    assert caught.value.where == f"{ledger}, line 2"
    assert ledger.read_bytes() == before
