"""Messages do not decide the exit code, wherever they go; the work is done and its files are whole."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from dr_pipeline.streams import plain_signs

pytestmark = pytest.mark.slow

PROGRAM = [sys.executable, "-m", "dr_pipeline"]
# A verb whose messages, file names and progress are as awkward as they come.
AWKWARD = """
import sys
from pathlib import Path
from dr_pipeline import cli
from dr_pipeline.logs import logger, progress
from dr_pipeline.stages import machine
from dr_pipeline.stages.outcome import Outcome

def run(args):
    sys.stderr.isatty = lambda: True
    for number in progress(range(200), label="grädig κ → 网膜"):
        if number % 20 == 0:
            logger.warning("photograph %d: café\\udce9 网膜 – …", number)
    sys.stdout.write("x" * 100_000)
    sys.stdout.flush()
    args.out.write_text("whole", encoding="utf-8")
    return Outcome((Path("caf\\udce9/网膜.csv"),), "κ 0.9 (0.8–1.0) → good", "next …")

machine.run = run
sys.exit(cli.main())
"""


def run(command: list[str], redirection: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Runs a command in bash with a redirection; returns the command's own exit code and what was not redirected."""
    script = f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}'
    return subprocess.run(
        ["bash", "-c", script, "bash", *command], capture_output=True, env={**os.environ, **environment}
    )


FULL, NO_READER, CLOSED = ">/dev/full", "| true", ">&-"


@pytest.mark.parametrize(
    "redirection", [FULL, NO_READER, CLOSED, "2>/dev/full", "2>&-", f"{FULL} 2>&1", f"{CLOSED} 2>&-", "<&- >&- 2>&-"]
)
def test_the_result_stands_wherever_the_messages_go(tmp_path: Path, redirection: str) -> None:
    done = run([sys.executable, "-c", AWKWARD, "machine", "--out", str(tmp_path / "out")], redirection)
    assert done.returncode == 0
    assert (tmp_path / "out").read_text() == "whole"
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "ascii:strict", "cp1252", "latin-1:strict", "utf-8:strict", "cp437"])
def test_signs_that_the_terminal_lacks_are_replaced(tmp_path: Path, encoding: str) -> None:
    command = [sys.executable, "-c", AWKWARD, "machine", "--out", str(tmp_path / "out")]
    done = run(command, "", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.returncode == 0
    text = done.stdout.decode(encoding.partition(":")[0])
    assert r"wrote caf\udce9/" in text
    assert "0.9 (0.8" in text
    if encoding in ("latin-1", "ascii:strict"):
        assert r"\u03ba 0.9 (0.8-1.0) -> good" in text
        assert r"\u7f51\u819c.csv" in text
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("redirection", [FULL, NO_READER, CLOSED, f"{FULL} 2>&1"])
def test_an_error_keeps_its_exit_code(tmp_path: Path, redirection: str) -> None:
    assert run([*PROGRAM, "verify", f"{tmp_path}/no bundle → 网膜"], redirection).returncode == 2


@pytest.mark.parametrize("redirection", [FULL, NO_READER, CLOSED])
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["plan", "--help"]])
def test_help_keeps_its_exit_code(words: list[str], redirection: str) -> None:
    done = run([*PROGRAM, *words], redirection)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_that_is_closed_in_the_middle_stops_nothing(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", AWKWARD, "machine", "--out", str(tmp_path / "out")],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        start_new_session=True,  # the terminal's end must not send a signal to the tests
    )
    os.close(follower)
    os.read(leader, 10)
    os.close(leader)
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "out").read_text() == "whole"


def test_a_stream_that_is_no_file_is_left_as_it_is(tmp_path: Path) -> None:
    code = (
        "import io, sys\nfrom dr_pipeline.streams import never_fail\n"
        "notebook = sys.stdout = io.StringIO()\nnever_fail()\nassert sys.stdout is notebook"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_messages_of_a_closed_output_reach_no_file(tmp_path: Path) -> None:
    """With standard output closed, the next file that is opened would have its descriptor."""
    done = run([*PROGRAM, "machine", "--out", str(tmp_path / "machine.json")], CLOSED)
    assert done.returncode == 0
    assert json.loads((tmp_path / "machine.json").read_text())["schema_version"] == 1


def test_only_failures_of_encoding_are_handled() -> None:
    with pytest.raises(UnicodeDecodeError):
        plain_signs(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"))
