import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from dr_pipeline.errors import DataError, EnvironmentProblem
from dr_pipeline.scoring import outputs
from dr_pipeline.scoring.outputs import Format, GrowingTable, encoder, explained, partial_path, read_rows, write_parquet
from dr_pipeline.scoring.prediction_rows import make_row
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.tables.predictions import PREDICTIONS, PredictionRow
from tests.factories.bundles import photograph
from tests.factories.scoring import drawn_score, score_in_process

pytestmark = pytest.mark.slow


def rows(number: int) -> list[PredictionRow]:
    made = []
    for index in range(number):
        entry = Entry(f'{index}\n,".jpg', "x")
        made.append(make_row(entry, drawn_score(entry), image_id=str(index), duplicate_of="", bundle_id="b"))
    return made


def cells(table: Iterable[PredictionRow]) -> list[dict[str, str]]:
    return [PREDICTIONS.cells(row) for row in table]


@pytest.mark.parametrize("name", ["p", "p.xlsx", "p.csv.gz", ".csv"])
def test_a_table_of_another_format_is_refused(name: str, tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(DataError, match="name ends in"):
        score_in_process(tmp_path, bundle, tmp_path / "out" / name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [Format.CSV, Format.JSONL])
def test_a_table_grows_by_whole_rows_and_only_its_owner_reads_it(kind: Format, tmp_path: Path) -> None:
    path, made = tmp_path / "new" / f"p{kind}", rows(250)
    (tmp_path / "new").mkdir()
    path.write_text("another's")
    path.chmod(0o644)
    with GrowingTable(path, encoder(kind, PREDICTIONS), made[:1]) as table:
        for count in (1, 101, 250):
            table.add(made[table.num_rows : count])
            assert cells(read_rows(path)) == cells(made[:count])
    assert path.stat().st_mode & 0o777 == 0o600


def test_json_lines_have_types(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with GrowingTable(path, encoder(Format.JSONL, PREDICTIONS), rows(40)):
        pass
    scored = next(row for row in map(json.loads, path.read_text().splitlines()) if row["status"] == "scored")
    assert tuple(scored) == PREDICTIONS.columns
    assert (type(scored["grade"]), type(scored["p0"]), type(scored["referable"])) == (int, float, bool)
    assert scored["schema_version"] == PREDICTIONS.version


def test_parquet_has_types_and_no_value_where_csv_has_an_empty_cell(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_parquet(tmp_path / "p.parquet", rows(40))
    table = pq.read_table(tmp_path / "p.parquet")
    kinds = {"grade": pa.int32(), "p0": pa.float64(), "needs_human": pa.bool_(), "status": pa.string()}
    assert {name: table.schema.field(name).type for name in kinds} == kinds
    failed = next(row for row in table.to_pylist() if row["status"] == "failed")
    assert failed["grade"] is failed["p0"] is failed["referable"] is None
    assert (tmp_path / "p.parquet").stat().st_mode & 0o777 == 0o600


def test_parquet_without_its_library_is_a_clear_error(monkeypatch, tmp_path: Path, bundle: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(EnvironmentProblem, match="pyarrow"):
        score_in_process(tmp_path, bundle, tmp_path / "p.parquet")


def test_a_full_disk_leaves_whole_rows_and_a_sentence(monkeypatch, tmp_path: Path) -> None:
    path, real, room = tmp_path / "p.csv", os.write, 3000

    def write(handle: int, data: memoryview) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(handle, data[:room])
        room -= written
        return written

    monkeypatch.setattr(outputs.os, "write", write)
    with GrowingTable(path, encoder(Format.CSV, PREDICTIONS)) as table:

        def fill() -> None:
            with explained():
                for row in rows(100):
                    table.add([row])

        with pytest.raises(DataError, match="No space left") as caught:
            fill()
    assert caught.value.where == str(path)
    assert cells(read_rows(path)) == cells(rows(table.num_rows))
    assert 0 < table.num_rows < 100


def test_a_run_on_a_full_disk_stops_with_a_sentence_and_resumes(tmp_path: Path, bundle: Path) -> None:
    clinic, out = tmp_path / "clinic", tmp_path / "out" / "p.csv"
    clinic.mkdir()
    for number in range(400):
        (clinic / f"{number}.jpg").write_bytes(photograph(number) if number < 3 else b"no photograph")
    command = [sys.executable, "-m", "dr_pipeline", "score", clinic, "--bundle", bundle, "--workers", "1", "--out", out]

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    full = subprocess.run(list(map(str, command)), capture_output=True, text=True, preexec_fn=small_files, check=False)
    assert full.returncode == 2, full.stderr
    assert "cannot be written" in full.stderr
    assert "--resume" in full.stderr
    assert "Traceback" not in full.stderr
    assert not out.exists()
    resumed = subprocess.run([*map(str, command), "--resume"], capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    score_in_process(clinic, bundle, tmp_path / "whole.csv")
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "p.csv", Path("/proc/none/p.csv")):
        with pytest.raises(DataError, match="cannot be written"):
            score_in_process(tmp_path, bundle, out)


def test_outputs_are_private(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "clinic").mkdir()
    (tmp_path / "clinic" / "a.jpg").touch()
    out = tmp_path / "made" / "deeper" / "p.csv"
    score_in_process(tmp_path / "clinic", bundle, out)
    assert [path.stat().st_mode & 0o777 for path in (out.parent, out.parent.parent)] == [0o700, 0o700]
    assert {path.stat().st_mode & 0o777 for path in out.parent.iterdir()} == {0o600}
    assert not partial_path(out).exists()
