"""A server in a process of its own, and requests to it."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Running:
    """A server that accepts photographs.

    Attributes:
        process: It.
        port: On 127.0.0.1.
        log: What it writes.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers, and the body as JSON if it is that; dashes of header names are underscores here."""
        connection = self.connection()
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        kind = response.getheader("content-type", "")
        answer = json.loads(data) if kind.startswith("application/json") else data.decode()
        return response.status, dict(response.getheaders()), answer

    def score(self, data: Any, **headers: str) -> tuple[int, Any]:
        status, _, answer = self.ask("POST", "/v1/score", data, **{"Content_Type": "image/jpeg"} | headers)
        return status, answer

    def metric(self, line: str) -> float:
        """The value of a counter, by its name and labels."""
        text = self.ask("GET", "/metrics")[2]
        return next((float(each.split()[-1]) for each in text.splitlines() if each.startswith(line)), 0.0)


@contextmanager
def serving(bundle: Path, folder: Path, *options: str) -> Iterator[Running]:
    """Runs `dr-pipeline serve` with one worker on a free port until the block ends."""
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(package, reason=f"{package}: absent")
    log = folder / "serve.log"
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "dr_pipeline", "serve", str(bundle), "--port", "0", "--workers", "1", *options]
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        yield Running(process, port_of(process, log), log)
    finally:
        process.kill()
        process.wait()


def port_of(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port on which the server has begun to accept photographs, by its log."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        first, _, rest = log.read_text().partition(" serves bundle ")
        if rest:
            return int(first.rsplit(":", 1)[1])
        time.sleep(0.05)
    raise AssertionError(log.read_text())
