"""A run that is interrupted at any moment loses no row, and ends with the bytes of one that was not."""

import gc
import inspect
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import read_csv
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.scoring.folder import score
from dr_pipeline.scoring.journal import Journal, journal_path
from dr_pipeline.scoring.outputs import partial_path, read_rows
from dr_pipeline.scoring.run import Run
from dr_pipeline.scoring.run_manifest import manifest_path
from dr_pipeline.scoring.score import Score, failed
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.tables.predictions import PREDICTIONS
from tests.factories.bundles import make_bundle, onnx_model, photograph
from tests.factories.scoring import DrawnScores

pytestmark = pytest.mark.slow

FILES = {inspect.getfile(one) for one in (score, Journal, partial_path, manifest_path)}
FORMATS = (".csv", ".jsonl", ".parquet")


class Killed(BaseException):
    """Raised where a process would have been killed."""


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files without photographs: names that agree in their ids, formulas, bytes that are not UTF-8."""
    root = tmp_path_factory.mktemp("clinic")
    for name in ("a b.jpg", "a-b.jpg", "a b.png", "=1.jpg", "img10.jpg", "img2.jpg", "new\nline.jpg"):
        (root / name).touch()
    (root / os.fsdecode(b"caf\xe9.jpg")).touch()
    for number in range(30):
        (root / f"{number % 4}").mkdir(exist_ok=True)
        (root / f"{number % 4}" / f"{number}.jpg").touch()
    (root / "gone.jpg").symlink_to("nowhere.jpg")
    return root


def run(clinic: Path, bundle: Path, out: Path, *, resume: bool = False, **fields: Any) -> None:
    scoring = Run((str(clinic),), bundle, out, **fields)
    score(scoring, identify_bundle(bundle), DrawnScores(), resume=resume)


def run_until(line: int, *arguments: Any, **named: Any) -> bool:
    """Runs, and stops before the given line that the modules of the run execute; whether it was stopped."""
    left = line

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise Killed
        return trace

    stopped = False
    sys.settrace(trace)
    try:
        run(*arguments, **named)
    except Killed:
        stopped = True
    finally:
        sys.settrace(None)
    gc.collect()  # as the end of a process does, closes a journal that was opened but not entered yet
    return stopped


@pytest.fixture(scope="module")
def whole(clinic: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of runs that were not interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    for suffix in FORMATS:
        run(clinic, bundle, folder / f"p{suffix}")
    return folder


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.integers(1, 2200), min_size=1, max_size=4), suffix=st.sampled_from(FORMATS))
def test_a_run_that_is_stopped_at_any_line_ends_with_the_same_bytes(
    clinic: Path,
    bundle: Path,
    whole: Path,
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[int],
    suffix: str,
) -> None:
    out = tmp_path_factory.mktemp("out") / f"p{suffix}"
    for line in lines:
        run_until(line, clinic, bundle, out, resume=True)
        if partial_path(out).exists() and suffix != ".jsonl":
            rows = PREDICTIONS.read(partial_path(out))  # whole rows of a table at any moment
            assert [row.path for row in rows] == [row.path for row in PREDICTIONS.read(whole / "p.csv")][: len(rows)]
    run(clinic, bundle, out, resume=True)
    assert out.read_bytes() == (whole / f"p{suffix}").read_bytes()
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name, manifest_path(out).name]


def test_each_format_holds_the_same_rows(clinic: Path, bundle: Path, tmp_path: Path) -> None:
    tables = []
    for suffix in FORMATS:
        run(clinic, bundle, tmp_path / f"p{suffix}")
        tables.append(list(read_rows(tmp_path / f"p{suffix}")))
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0]) == 39


def test_a_process_that_is_killed_resumes_with_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    clinic = tmp_path / "clinic"
    clinic.mkdir()
    for number in range(60):
        (clinic / f"{number}.jpg").write_bytes(photograph(number % 50) if number % 5 else b"hostile")
    rng, out, others = random.Random(4), tmp_path / "p.csv", tmp_path / "q.csv"
    command = [sys.executable, "-m", "dr_pipeline", "score", clinic, "--bundle", bundle, "--resume", "--out"]
    for _ in range(2):
        process = subprocess.Popen(list(map(str, [*command, out])), stdout=subprocess.DEVNULL)
        start_s = time.monotonic()
        while process.poll() is None and time.monotonic() - start_s < 20:
            time.sleep(rng.uniform(0, 0.2))
            if partial_path(out).exists() and partial_path(out).read_bytes().count(b"\n") > 1:
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
    for table in (out, others):
        subprocess.run(list(map(str, [*command, table])), check=True, stdout=subprocess.DEVNULL)
    assert out.read_bytes() == others.read_bytes()
    assert len(read_csv(out)) == 60


def stop_midway(clinic: Path, bundle: Path, out: Path, **fields: Any) -> None:
    assert run_until(900, clinic, bundle, out, **fields)
    assert journal_path(out).exists()


def test_a_run_that_did_not_end_is_not_started_again_by_accident(clinic: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    stop_midway(clinic, bundle, out)
    before = partial_path(out).read_bytes()
    with pytest.raises(DataError, match="did not end"):
        run(clinic, bundle, out)
    assert partial_path(out).read_bytes() == before


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"site": "B"}, "site"),
        ({"rules": FolderRules(("x",))}, "ignore"),
        ({"rules": FolderRules(follow_links=True)}, "follow_links"),
    ],
)
def test_another_run_is_not_resumed(
    clinic: Path, bundle: Path, tmp_path: Path, fields: dict[str, Any], named: str
) -> None:
    out = tmp_path / "p.csv"
    stop_midway(clinic, bundle, out)
    with pytest.raises(DataError, match=f"{named} was"):
        run(clinic, bundle, out, resume=True, **fields)


def test_another_bundle_or_folder_is_not_resumed(clinic: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    stop_midway(clinic, bundle, out)
    other = make_bundle(tmp_path / "other", model=onnx_model(seed=1))
    with pytest.raises(DataError, match="bundle was"):
        run(clinic, other, out, resume=True)
    with pytest.raises(DataError, match="sources was"):
        run(tmp_path, bundle, out, resume=True)


def test_a_bundle_that_is_swapped_during_the_run_stops_it_and_the_right_one_goes_on(
    clinic: Path, whole: Path, bundle: Path, tmp_path: Path
) -> None:
    used, out = tmp_path / "used", tmp_path / "p.csv"
    make_bundle(used)
    identity = identify_bundle(used)
    (used / "MODEL_CARD.md").write_text("swapped")
    other = make_bundle(tmp_path / "other", model=onnx_model(seed=1))
    shutil.copytree(other, used, dirs_exist_ok=True)
    scoring = Run((str(clinic),), used, out)
    with pytest.raises(BundleError, match="changed during the run"):
        score(scoring, identity, DrawnScores())
    shutil.copytree(bundle, used, dirs_exist_ok=True)
    score(scoring, identify_bundle(used), DrawnScores(), resume=True)
    assert out.read_bytes() == (whole / "p.csv").read_bytes()


class DriveAway(DrawnScores):
    """An engine during whose work a folder goes away: each further file is missing."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def results(self, items: Iterable[Entry]) -> Iterator[tuple[Entry, Score]]:
        for number, (item, found) in enumerate(super().results(items)):
            if number == 10:
                self._folder.rename(self._folder.with_name("away"))
            yield item, failed("the file is missing") if number >= 10 else found


def test_a_drive_that_goes_away_stops_the_run_and_no_file_counts_as_missing(
    clinic: Path, bundle: Path, whole: Path, tmp_path: Path
) -> None:
    mounted, out = tmp_path / "drive" / "clinic", tmp_path / "p.csv"
    shutil.copytree(clinic, mounted, symlinks=True)
    scoring, identity = Run((str(mounted),), bundle, out), identify_bundle(bundle)
    with pytest.raises(DataError, match="went away"):
        score(scoring, identity, DriveAway(mounted))
    with pytest.raises(DataError, match="no such folder"):
        score(scoring, identity, DrawnScores(), resume=True)
    mounted.with_name("away").rename(mounted)
    score(scoring, identity, DrawnScores(), resume=True)
    assert out.read_bytes() == (whole / "p.csv").read_bytes()


def test_a_finished_run_is_not_scored_again(clinic: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    run(clinic, bundle, out)
    before = out.stat().st_mtime_ns
    scoring = Run((str(clinic),), bundle, out)
    summary = score(scoring, identify_bundle(bundle), DrawnScores(), resume=True)
    assert summary.files == summary.resumed == 39
    assert out.stat().st_mtime_ns == before
    run(clinic, bundle, out)  # asked for without --resume, it is
    assert out.stat().st_mtime_ns > before


def test_two_runs_do_not_write_one_table(clinic: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    with Journal(journal_path(out)), pytest.raises(DataError, match="another run is writing this table"):
        run(clinic, bundle, out)


def test_a_folder_whose_name_is_not_utf8(bundle: Path, tmp_path: Path) -> None:
    clinic = tmp_path / os.fsdecode(b"caf\xe9")
    clinic.mkdir()
    (clinic / "a.jpg").touch()
    run(clinic, bundle, tmp_path / "p.csv")
    assert "caf\\\\xe9" in manifest_path(tmp_path / "p.csv").read_text()


def test_a_journal_that_is_damaged_is_a_sentence(clinic: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    stop_midway(clinic, bundle, out)
    journal = journal_path(out)
    with Journal(journal):
        pass  # the write-ahead log is written into it
    data = journal.read_bytes()
    journal.write_bytes(data[:4096] + bytes(len(data) - 4096))
    with pytest.raises(DataError, match="journal is damaged"):
        run(clinic, bundle, out, resume=True)
