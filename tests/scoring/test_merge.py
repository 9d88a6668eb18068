"""Shards: every file in exactly one, and merged the bytes of one run; a merge proves that nothing is missing."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline import cli
from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.errors import DataError
from dr_pipeline.scoring.folder import score
from dr_pipeline.scoring.journal import journal_path
from dr_pipeline.scoring.merge import merge
from dr_pipeline.scoring.run import Run
from dr_pipeline.scoring.run_manifest import manifest_path
from dr_pipeline.scoring.shards import Shard
from tests.factories.scoring import DrawnScores

pytestmark = pytest.mark.slow


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    root = tmp_path / "clinic"
    for number in range(30):
        (root / str(number % 3)).mkdir(parents=True, exist_ok=True)
        (root / str(number % 3) / f"{number}.jpg").touch()
    (root / "Thumbs.db").touch()
    return root


def run(clinic: Path, bundle: Path, out: Path, **fields: Any) -> Path:
    score(Run((str(clinic),), bundle, out, **fields), identify_bundle(bundle), DrawnScores())
    return out


def run_shards(clinic: Path, bundle: Path, folder: Path, count: int) -> list[Path]:
    return [run(clinic, bundle, folder / f"{i}.csv", shard=Shard(i, count)) for i in range(count)]


@given(st.text(max_size=20), st.integers(1, 50))
def test_every_path_is_in_exactly_one_shard(relative: str, count: int) -> None:
    assert sum(Shard(index, count).has(relative) for index in range(count)) == 1


@pytest.mark.parametrize(("count", "suffix"), [(1, ".csv"), (3, ".csv"), (3, ".jsonl"), (3, ".parquet"), (40, ".csv")])
def test_a_merge_has_the_bytes_of_one_run(clinic: Path, bundle: Path, tmp_path: Path, count: int, suffix: str) -> None:
    whole = run(clinic, bundle, tmp_path / f"whole{suffix}")
    if count == 1:
        return
    shards = run_shards(clinic, bundle, tmp_path / "shards", count)
    summary = merge(tmp_path / f"merged{suffix}", shards[::-1])
    assert (tmp_path / f"merged{suffix}").read_bytes() == whole.read_bytes()
    assert (summary.files, summary.no_part) == (30, {"system files": 1})
    ours, theirs = (json.loads(manifest_path(tmp_path / f"{name}{suffix}").read_text()) for name in ("whole", "merged"))
    assert (ours["inputs"], ours["rows"], ours["bundle"]) == (theirs["inputs"], theirs["rows"], theirs["bundle"])
    assert not journal_path(tmp_path / f"merged{suffix}").exists()


def refused(match: str, out: Path, shards: list[Path]) -> None:
    with pytest.raises(DataError, match=match):
        merge(out, shards)
    assert not out.exists()


def test_a_shard_that_is_missing_twice_there_or_another_runs_is_refused(clinic, bundle, tmp_path) -> None:
    shards, out = run_shards(clinic, bundle, tmp_path / "shards", 3), tmp_path / "merged.csv"
    refused("1 of the shards are missing: 1", out, [shards[0], shards[2]])
    refused("given twice", out, [shards[0], shards[0], shards[1], shards[2]])
    copy = tmp_path / "copy.csv"
    journal_path(copy).write_bytes(journal_path(shards[0]).read_bytes())
    refused("shard 0 is given twice", out, [*shards, copy])
    refused("journal of a shard is missing", out, [*shards, tmp_path / "none.csv"])
    other = run(clinic, bundle, tmp_path / "other.csv", shard=Shard(1, 3), site="B")
    refused("site differ", out, [shards[0], other, shards[2]])
    other = run(clinic, bundle, tmp_path / "other.csv", shard=Shard(1, 4))  # in place of the earlier one
    refused("num_shards differ", out, [shards[0], other, shards[2]])
    with pytest.raises(DataError, match="a shard of another run is here"):
        merge(other, shards)
    assert journal_path(other).exists()
    merge(out, shards)


def test_a_shard_s_table_inside_the_folder_is_refused(clinic: Path, bundle: Path) -> None:
    with pytest.raises(DataError, match="the table of a shard lies inside a folder that is scored"):
        run(clinic, bundle, clinic / "0" / "shard.csv", shard=Shard(0, 2))
    assert not list(clinic.rglob("*.journal"))


def test_shards_of_a_folder_that_changed_are_refused(clinic: Path, bundle: Path, tmp_path: Path) -> None:
    shards = run_shards(clinic, bundle, tmp_path / "shards", 2)
    (clinic / "late.jpg").touch()
    journal_path(shards[1]).unlink()
    run(clinic, bundle, shards[1], shard=Shard(1, 2))
    refused("found different files", tmp_path / "merged.csv", shards)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("DELETE FROM rows WHERE number = (SELECT max(number) FROM rows)", "not finished"),
        ("UPDATE entries SET position = 999 WHERE number = (SELECT max(number) FROM entries)", "is in no shard"),
        ("UPDATE entries SET entry = replace(entry, '.jpg', '.png') WHERE number = 3", "not those that were listed"),
    ],
)
def test_a_shard_that_was_altered_is_refused(clinic, bundle, tmp_path, change: str, match: str) -> None:
    shards = run_shards(clinic, bundle, tmp_path / "shards", 2)
    db = sqlite3.connect(journal_path(shards[0]))
    db.execute(change)
    db.commit()
    db.close()
    refused(match, tmp_path / "merged.csv", shards)


def test_a_senseless_shard_is_refused() -> None:
    with pytest.raises(DataError, match="no shard 3 of 3"):
        Shard(3, 3)


def test_the_commands(clinic: Path, bundle: Path, tmp_path: Path, capsys) -> None:
    shards = [str(tmp_path / f"{index}.csv") for index in range(2)]
    for index, out in enumerate(shards):
        arguments = ["--num-shards", "2", "--shard-index", str(index), "--workers", "1"]
        assert cli.main(["score", str(clinic), "--bundle", str(bundle), "--out", out, *arguments]) == 0
    assert cli.main(["merge", str(tmp_path / "all.csv"), *shards]) == 0
    assert "2 shards complete; 31 files = 30 rows + 1 left out" in capsys.readouterr().out
    assert cli.main(["merge", str(tmp_path / "all.csv"), shards[0]]) == 2
    assert cli.main(["replay", str(tmp_path / "all.csv"), "--bundle", str(bundle), "--sample", "3"]) == 0
    assert "3 rows scored again, all equal" in capsys.readouterr().out
