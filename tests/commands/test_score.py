"""`score` takes photographs from anywhere, says whose they are, and needs no network for local ones."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.files import read_csv
from dr_pipeline.intake.dicom_headers import pseudonym
from tests.factories.bundles import make_bundle, photograph
from tests.factories.dicom import PATIENT, dicom
from tests.factories.zoo import picture

pytestmark = pytest.mark.slow

# Imported by every Python that starts: no process may reach for the network.
DENY_NETWORK = """
import sys

def deny(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        if event == "socket.getaddrinfo" or arguments[0].family != 1:  # 1: between processes of this machine
            sys.stderr.write(f"network access: {event}\\n")
            sys.stderr.flush()
            raise PermissionError(event)

sys.addaudithook(deny)
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made") / "release")


def test_folders_files_archives_and_lists_with_patients(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "north").mkdir()
    (tmp_path / "north" / "P1_OD.jpg").write_bytes(photograph(1))
    (tmp_path / "north" / "P1_OS").write_bytes(photograph(2))
    with zipfile.ZipFile(tmp_path / "south.zip", "w") as archive:
        archive.writestr("deep/=P2_left.jpg", photograph(3))
        archive.writestr("../P3_left.jpg", photograph(3))
        archive.writestr("__MACOSX/._P2_left.jpg", b"x")
    header = PATIENT | {"PatientID": "77", "ImageLaterality": "R", "StudyDate": "20240131"}
    (tmp_path / "IM0001").write_bytes(dicom(picture(), **header))
    (tmp_path / "list.txt").write_text("IM0001\ngone.jpg\n")
    (tmp_path / "people.csv").write_text("path,patient,visit,site\nnorth/P1_OS,Q1,-2,hill\n")
    out = tmp_path / "p.csv"
    sources = [str(tmp_path / name) for name in ("north", "south.zip")]
    people = ["--pattern", "{patient}_{eye}.*", "--people", str(tmp_path / "people.csv"), "--dicom-people"]
    arguments = [*sources, "--list", str(tmp_path / "list.txt"), "--bundle", str(bundle), "--out", str(out), *people]
    assert cli.main(["score", *arguments, "--workers", "1"]) == 0
    captured = capsys.readouterr()
    assert "7 files = 6 rows + 1 left out (1 system files): 4 scored" in captured.out
    assert "1 without patient, eye, visit and site" in captured.out
    rows = {row["path"]: row for row in read_csv(out)}
    columns = ("status", "patient_id", "eye", "visit", "site")
    assert {path: tuple(row[column] for column in columns) for path, row in rows.items()} == {
        "list.txt/IM0001": ("scored", pseudonym("77", salt="dr-pipeline"), "right", "20240131", ""),
        "list.txt/gone.jpg": ("failed", "", "", "", ""),
        "north/P1_OD.jpg": ("scored", "P1", "right", "", ""),
        "north/P1_OS": ("scored", "Q1", "", "'-2", "hill"),
        "south.zip/../P3_left.jpg": ("failed", "P3", "left", "", ""),
        "south.zip/deep/=P2_left.jpg": ("scored", "'=P2", "left", "", ""),
    }
    for secret in ("77", "Q1", "P1"):
        assert secret not in captured.err
    assert cli.main(["score", *arguments, "--resume"]) == 0  # is done: says so, with the same counts
    assert "1 without patient, eye, visit and site" in capsys.readouterr().out


def test_a_file_name_that_fits_two_files_stops_the_run(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "left.jpg").write_bytes(photograph(1))
    (tmp_path / "people.csv").write_text("file,patient\nleft.jpg,P1\n")
    arguments = ["score", str(tmp_path / "in"), "--bundle", str(bundle), "--out", str(tmp_path / "p.csv")]
    assert cli.main([*arguments, "--people", str(tmp_path / "people.csv"), "--workers", "1"]) == 2
    assert "1 file names of the table fit several files" in capsys.readouterr().err
    assert not list(tmp_path.glob("p.csv*"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "no photographs are named"),
        (["gone"], "there is no such folder or file"),
        (["@gone"], "the list cannot be read"),
        (["gone.zip"], "there is no such folder or file"),
        ([".", "--pattern", "{name}"], "unknown field"),
        ([".", "--people", "gone.csv"], "the table cannot be read"),
    ],
)
def test_a_source_that_is_none_is_a_sentence(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert cli.main(["score", *arguments, "--bundle", str(bundle), "--out", str(tmp_path / "p.csv")]) == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.glob("p.csv*"))


def test_local_files_are_scored_without_network(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DENY_NETWORK)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(photograph(1))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("b.jpg", photograph(2))
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path}
    command = [sys.executable, "-m", "dr_pipeline", "score", str(tmp_path / "in"), str(tmp_path / "b.zip")]
    command += ["--bundle", str(bundle), "--out", str(tmp_path / "p.csv"), "--workers", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "network access" not in ended.stderr
    assert [row["status"] for row in read_csv(tmp_path / "p.csv")] == ["scored", "scored"]
    probe = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    denied = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, env=environment, check=False)
    assert "network access" in denied.stderr  # so the rule does see it
