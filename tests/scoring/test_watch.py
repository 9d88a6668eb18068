"""A watch by the command: rows appear soon, the table grows by whole rows, and a restart goes on."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.files import read_csv
from dr_pipeline.scoring.outputs import lesion_paths, read_rows
from dr_pipeline.scoring.run_manifest import manifest_path, read_manifest
from tests.factories.bundles import make_bundle, photograph
from tests.factories.lesion_networks import colour_network
from tests.factories.scoring import score_in_process

pytestmark = pytest.mark.slow


class Watch:
    """The command, watching."""

    def __init__(self, folder: Path, bundle: Path, out: Path, *options: str) -> None:
        self.out = out
        command = [sys.executable, "-m", "dr_pipeline", "score", folder, "--bundle", bundle, "--out", out, "--watch"]
        self.process = subprocess.Popen(
            [*map(str, command), "--workers", "1", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # The background processes of a shell ignore Ctrl-C, and so would their children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def paths(self) -> list[str]:
        return [row.path for row in read_rows(self.out)] if self.out.exists() else []

    def wait_for(self, number: int) -> float:
        """Waits for so many rows; returns the seconds it took."""
        start_s = time.monotonic()
        while len(self.paths()) < number and time.monotonic() - start_s < 60 and self.process.poll() is None:
            time.sleep(0.05)
        assert len(self.paths()) == number, self.process.poll()
        return time.monotonic() - start_s

    def stop(self, number: signal.Signals) -> str:
        self.process.send_signal(number)
        return self.process.communicate(timeout=60)[0]


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "clinic").mkdir()
    return tmp_path / "clinic"


def test_a_watch_scores_what_is_there_and_what_arrives_and_survives_restarts(clinic, bundle, tmp_path) -> None:
    out = clinic / "p.csv"  # inside the folder
    (clinic / "a.jpg").write_bytes(photograph(1))
    watch = Watch(clinic, bundle, out)
    watch.wait_for(1)
    (clinic / "new").mkdir()
    (clinic / "new" / "b.jpg").write_bytes(photograph(2))
    assert watch.wait_for(2) < 10  # 2 s on an idle machine
    said = watch.stop(signal.SIGTERM)
    assert watch.process.returncode == 0, said
    assert "2 files = 2 rows: 2 scored" in said
    assert manifest_path(out).exists()

    (clinic / "c.jpg").write_bytes(b"no photograph")
    watch = Watch(clinic, bundle, out)
    watch.wait_for(3)
    watch.stop(signal.SIGKILL)
    watch = Watch(clinic, bundle, out)
    (clinic / "d.jpg").write_bytes(photograph(1))
    watch.wait_for(4)
    said = watch.stop(signal.SIGINT)
    assert watch.process.returncode == 0, said
    rows = read_csv(out)
    assert [row["path"] for row in rows] == ["a.jpg", "new/b.jpg", "c.jpg", "d.jpg"]
    assert [row["status"] for row in rows] == ["scored", "scored", "failed", "scored"]
    assert rows[3]["duplicate_of"] == "a"
    assert out.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_tables_of_lesions_grow_as_well(clinic: Path, tmp_path: Path, suffix: str) -> None:
    bundle, out = make_bundle(tmp_path / "with", lesions=colour_network()), clinic / f"p{suffix}"
    (clinic / "a.jpg").write_bytes(photograph(1))
    (clinic / "b.jpg").write_bytes(b"no photograph")
    watch = Watch(clinic, bundle, out, "--lesions")
    watch.wait_for(2)
    watch.stop(signal.SIGKILL)
    for path in lesion_paths(out):  # as if it had been killed between the journal and these
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:1]))
    watch = Watch(clinic, bundle, out, "--lesions")
    (clinic / "c.jpg").write_bytes(photograph(2))
    watch.wait_for(3)
    said = watch.stop(signal.SIGTERM)
    assert watch.process.returncode == 0, said
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (clinic / name).rename(photographs / name)
    score_in_process(photographs, bundle, tmp_path / f"p{suffix}", lesions=True)
    for path in lesion_paths(out):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
    assert len(read_manifest(out)["outputs"]) == 3


def test_a_watch_without_lesions_removes_those_of_the_table_that_it_replaces(clinic: Path, tmp_path: Path) -> None:
    bundle, out = make_bundle(tmp_path / "with", lesions=colour_network()), tmp_path / "p.csv"
    (clinic / "a.jpg").write_bytes(photograph(1))
    score_in_process(clinic, bundle, out, lesions=True)
    (clinic / "b.jpg").write_bytes(photograph(2))
    watch = Watch(clinic, bundle, out)
    watch.wait_for(2)
    said = watch.stop(signal.SIGTERM)
    assert watch.process.returncode == 0, said
    assert not any(path.exists() for path in lesion_paths(out))
    assert said.count("the lesions of the table that was replaced") == 2
    assert set(read_manifest(out)["outputs"]) == {"p.csv"}


@pytest.mark.parametrize(
    ("name", "arguments", "match"),
    [
        ("p.parquet", (), "cannot grow"),
        ("p.csv", ("--num-shards", "2"), "no shards"),
        ("p.csv", ("one file",), "needs one folder"),
    ],
)
def test_what_cannot_be_watched_is_refused(clinic, bundle, tmp_path, capsys, name, arguments, match) -> None:
    (clinic / "a.jpg").write_bytes(photograph(1))
    source = clinic / "a.jpg" if arguments == ("one file",) else clinic
    options = () if arguments == ("one file",) else arguments
    command = ["score", source, "--bundle", bundle, "--out", tmp_path / name, "--watch", "--workers", 1, *options]
    assert cli.main(list(map(str, command))) == 2
    assert match in capsys.readouterr().err


def test_a_run_is_no_watch(clinic, bundle, tmp_path, capsys) -> None:
    (clinic / "a.jpg").write_bytes(photograph(1))
    watch = Watch(clinic, bundle, tmp_path / "p.csv")
    watch.wait_for(1)
    watch.stop(signal.SIGTERM)
    command = ["score", clinic, "--bundle", bundle, "--out", tmp_path / "p.csv", "--resume", "--workers", 1]
    assert cli.main(list(map(str, command))) == 2
    assert "watch was True" in capsys.readouterr().err
