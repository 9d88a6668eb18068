"""A tracking server that is away, hangs or answers nonsense costs one short try and one warning per run."""

import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.tracking.guard import guarded, switched_on
from dr_pipeline.tracking.remote import first_try, is_known_away, is_remote, without_credentials
from dr_pipeline.tracking.run import tracked
from dr_pipeline.tracking.store import Store
from tests.factories import REPOSITORY
from tests.factories.repository import Repository

pytestmark = pytest.mark.slow

LOGIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 26\r\n\r\n<html>please log in</html>"
ANSWERS = {
    "accepts and never answers": None,
    "closes at once": b"",
    "is no web server": b"220 mail.example ESMTP\r\n",
    "is a proxy whose server is away": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    "has an error of its own": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "asks to wait": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n",
    "asks to log in": LOGIN,
    "needs a password": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
    "sends the beginning of an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
}


@contextmanager
def server(answer: bytes | None) -> Iterator[str]:
    """A server on this machine that gives `answer` to each connection, or none; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        kept = []

        def serve() -> None:
            with suppress(OSError):  # at the end of the test
                while True:
                    connection, _ = listening.accept()
                    kept.append(connection)
                    if answer is not None:
                        connection.recv(65536)
                        connection.sendall(answer)
                        if not answer.endswith(b"{"):
                            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for connection in kept:
            connection.close()


@pytest.fixture
def away(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    uri = f"http://someone:secret@127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("dr_pipeline")]


def record_two_stages(repository: Repository) -> float:
    start_s = time.monotonic()
    with tracked("train", candidate="lite0", fold=0) as run:
        run.metrics({"train_loss": 1.0}, step=0)
        repository.train()
    with tracked("split"):
        repository.split()
    return time.monotonic() - start_s


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_server_that_is_of_no_use_costs_one_short_try_and_one_warning(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with caplog.at_level(logging.WARNING), server(ANSWERS[kind]) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert record_two_stages(repository) < 6
        assert is_known_away(uri)
    assert len(warnings(caplog)) == 1
    assert uri in warnings(caplog)[0]


def test_a_server_that_is_not_there(repository: Repository, away: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert record_two_stages(repository) < 6
    assert len(warnings(caplog)) == 1
    assert "refused" in warnings(caplog)[0]
    assert "secret" not in caplog.text
    assert not switched_on()
    assert (repository.root / "reports" / "split.json").is_file()


def test_a_name_or_database_without_answer_is_waited_for_as_long(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "postgresql://user:secret@db.example/mlflow"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    blocked = threading.Event()
    start_s = time.monotonic()
    with pytest.raises(EnvironmentProblem, match="no answer within 2 s") as raised:
        first_try(uri, lambda: blocked.wait(30))
    assert time.monotonic() - start_s < 4
    assert "secret" not in str(raised.value)
    blocked.set()


def test_another_run_tries_again(repository: Repository, away: str) -> None:
    """Another process group is another run, such as the next `dvc repro` after the server was started."""
    guarded(lambda: Store(repository.root) and None)
    assert is_known_away(away)
    code = f"from dr_pipeline.tracking.remote import is_known_away; print(is_known_away({away!r}))"
    asked = {
        new_run: subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "TMPDIR": tempfile.gettempdir()},
            capture_output=True,
            text=True,
            check=True,
            process_group=0 if new_run else None,
        ).stdout.strip()
        for new_run in (False, True)
    }
    assert asked == {False: "True", True: "False"}


def test_a_failure_is_remembered_for_an_hour(repository: Repository, away: str) -> None:
    guarded(lambda: Store(repository.root) and None)
    (marker,) = Path(tempfile.gettempdir()).glob("dr_pipeline-*.away")
    assert not switched_on()
    os.utime(marker, (time.time() - 3700,) * 2)
    assert switched_on()


def test_a_server_that_is_back_is_used_again(repository: Repository, away: str) -> None:
    guarded(lambda: Store(repository.root) and None)
    assert not switched_on()
    first_try(away, lambda: None)  # as `track rebuild`, which always tries
    assert switched_on()


def test_the_first_try_leaves_the_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    seen = first_try("http://a", lambda: os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])
    assert seen == "0"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"


def test_rebuild_says_that_the_server_is_away(
    repository: Repository, away: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from dr_pipeline.cli import main

    repository.train()
    assert main(["track", "rebuild"]) == 2
    message = capsys.readouterr().err
    assert "MLFLOW_TRACKING_URI" in message
    assert "secret" not in message
    assert "Traceback" not in message


def test_what_is_remote() -> None:
    servers = (
        "http://a:5000",
        "https://a",
        "postgresql://a/b",
        "mysql+pymysql://a/b",
        "databricks://profile",
        "databricks",
    )
    assert all(map(is_remote, servers))
    assert not any(map(is_remote, ("", "sqlite:////data/a.db", "mlruns", "/data/mlruns", "file:///data/mlruns")))


def test_credentials_are_left_out_of_messages() -> None:
    text = "API request to https://me:s%40cret@mlflow.example:5000/api failed; see postgresql://a:b@c/d and a@b.example"
    shown = "API request to https://mlflow.example:5000/api failed; see postgresql://c/d and a@b.example"
    assert without_credentials(text) == shown
