"""MLflow's servers and a PostgreSQL in processes of their own, which reach nothing but this machine."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

# Imported by every Python that starts with it on its path: refuses what is not this machine, and writes it down.
_LOOPBACK_ONLY = """
import sys

def only_this_machine(event, arguments):
    host = None
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    if host not in (None, "", "localhost", "127.0.0.1", "::1", b"localhost", b"127.0.0.1"):
        with open({log!r}, "a") as stream:
            stream.write(f"{{event}} {{host}}\\n")
        raise PermissionError(f"{{event}} {{host}}")

sys.addaudithook(only_this_machine)
"""


@contextmanager
def loopback_server(
    command: Sequence[str], folder: Path, port: int, environment: Mapping[str, str] = os.environ
) -> Iterator[str]:
    """Runs a server until the block ends; yields its address once it answers.

    Args:
        command: What to run.
        folder: For its log, `server.log`; it is the working folder too.
        port: On which it listens.
        environment: Of the process.
    """
    site, outside, log = folder / "site", folder / "outside.log", folder / "server.log"
    site.mkdir(parents=True)
    (site / "sitecustomize.py").write_text(_LOOPBACK_ONLY.format(log=str(outside)))
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1", "PYTHONPATH": str(site)}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=folder, env={**environment, **quiet}, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        _wait(process, port, log)
        yield f"http://127.0.0.1:{port}"
        assert not outside.exists(), outside.read_text()
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@contextmanager
def postgres() -> Iterator[tuple[Path, Path]]:
    """Runs a PostgreSQL that only this user and root reach; yields the folder of its socket and that of its programs.

    It refuses to run as root: then it runs as a user without rights.
    """
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path())
    if not (programs / "initdb").is_file():
        pytest.skip("PostgreSQL: absent")
    names = {user.pw_name: user for user in pwd.getpwall()}
    user = next(names[name] for name in ("postgres", "nobody") if name in names)
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path has at most 107 characters
    if identity:
        os.chown(folder, user.pw_uid, user.pw_gid)

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), "--pgdata", str(folder / "data"), *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=60, **identity)

    try:
        run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "--locale=C")
        options = f"-k {folder} -c listen_addresses='' -c unix_socket_permissions=0700 -c fsync=off"
        run("pg_ctl", "--wait", "--log", str(folder / "log"), "--options", options, "start")
        try:
            yield folder, programs
        finally:
            run("pg_ctl", "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
