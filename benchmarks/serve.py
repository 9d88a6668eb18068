"""`serve` against `score` in the same run, and 10,000 requests with a restart of the server in their middle.

python -m benchmarks.serve BUNDLE FOLDER --out reports/benchmarks/serve.json [--rounds 3] [--requests 10000]

Rate: the photographs of FOLDER, several times over, by `dr-pipeline score` and by 8 clients of `dr-pipeline serve`, in
turn. Of `score` the time from its first row to its last counts, of `serve` the time from each client's first answer:
neither start is in it. The clients run on the same cores. CPU time per file is that of all processes of either, without
the clients: on a machine that is not idle only its ratio means something. Restart: drawn photographs; when half are
answered the server gets a SIGTERM, and the next is started when it has ended. A client sends again what got no answer
(connection refused or closed, 503); each answer must be the row that `score` writes.
"""

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from dr_pipeline.files import write_json
from dr_pipeline.machine import describe_machine
from dr_pipeline.scoring.outputs import partial_path
from tests.factories.bundles import photograph

CLIENTS = 8
RATE_BAR = 0.85
_DRAWN = 100
_TRY_AGAIN_S = 0.1
_OF_THE_FOLDER = ("image_id", "path", "duplicate_of")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=800, help="photographs a round")
    parser.add_argument("--requests", type=int, default=10_000, help="of the restart")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rate = compare_rates(args.bundle, args.folder, Path(scratch), rounds=args.rounds, files=args.files)
        print(json.dumps(rate, indent=2))
        restart = restart_under_load(args.bundle, Path(scratch), args.requests)
        print(json.dumps(restart, indent=2))
    if args.out:
        write_json(args.out, {"rate": rate, "restart": restart, "machine": describe_machine()})
    kept = rate["ratio"] >= RATE_BAR and restart["lost"] == restart["wrong"] == restart["exit_code"] == 0
    sys.exit(0 if kept else 1)


def compare_rates(bundle: Path, folder: Path, scratch: Path, *, rounds: int, files: int) -> dict[str, Any]:
    """Files per second of both, alternating."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    chosen = [paths[number % len(paths)] for number in range(files)]
    photographs = scratch / "photographs"
    photographs.mkdir()
    for number, path in enumerate(chosen):
        shutil.copy(path, photographs / f"{number:05d}{path.suffix}")
    data = [path.read_bytes() for path in sorted(photographs.iterdir())]
    score_rates, serve_rates, latencies = list[float](), list[float](), list[float]()
    score_cpu, serve_cpu = list[float](), list[float]()
    for _ in range(rounds):
        rate, cpu_s = score_rate(bundle, photographs, scratch / "rows.jsonl")
        score_rates.append(rate)
        score_cpu.append(1e3 * cpu_s)
        with Serving(bundle) as server:
            Load(server, data[: 2 * CLIENTS]).run()
            before_s = session_cpu_s(server.process.pid)
            load = Load(server, data)
            load.run()
            serve_cpu.append(1e3 * (session_cpu_s(server.process.pid) - before_s) / files)
        serve_rates.append(load.rate())
        latencies += load.latencies_s
        print(f"score {score_rates[-1]:.1f}/s, serve {serve_rates[-1]:.1f}/s", file=sys.stderr)
    p50, p99 = (1e3 * float(np.quantile(latencies, share)) for share in (0.5, 0.99))
    return {
        "clients": CLIENTS,
        "files_per_round": files,
        "rounds": rounds,
        "mean_bytes": round(statistics.mean(map(len, data))),
        "score_files_per_s": [round(rate, 2) for rate in score_rates],
        "serve_files_per_s": [round(rate, 2) for rate in serve_rates],
        "ratio": round(statistics.median(serve_rates) / statistics.median(score_rates), 4),
        "bar": RATE_BAR,
        "score_cpu_ms_per_file": [round(each, 2) for each in score_cpu],
        "serve_cpu_ms_per_file": [round(each, 2) for each in serve_cpu],
        "cpu_ratio": round(statistics.median(score_cpu) / statistics.median(serve_cpu), 4),
        "load_average": os.getloadavg()[0],
        "serve_p50_ms": round(p50, 1),
        "serve_p99_ms": round(p99, 1),
    }


def session_cpu_s(session: int) -> float:
    """CPU time of the processes of a session, by Linux's /proc (man 5 proc: stat)."""
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def score_rate(bundle: Path, folder: Path, out: Path) -> tuple[float, float]:
    """Files per second of a run and CPU seconds per file, from its first row to its last."""
    out.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "dr_pipeline", "score", folder, "--bundle", bundle, "--out", out],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    first, last = (0, 0.0, 0.0), (0, 0.0, 0.0)
    while process.poll() is None:
        time.sleep(0.02)
        table = out if out.exists() else partial_path(out)
        if table.exists() and (rows := table.read_bytes().count(b"\n")) > last[0]:
            last = (rows, time.monotonic(), session_cpu_s(process.pid))
            first = first if first[0] else last
    if process.returncode:
        sys.exit("scoring failed")
    rows, time_s, cpu_s = (end - start for start, end in zip(first, last, strict=True))
    return rows / time_s, cpu_s / rows


class Serving:
    """A server in a process of its own."""

    def __init__(self, bundle: Path, port: int = 0) -> None:
        self._bundle, self.port = bundle, port or free_port()

    def __enter__(self) -> "Serving":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dr_pipeline", "serve", self._bundle, "--port", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in count():
            try:
                return self._when_ready()
            except OSError:
                time.sleep(0.05)
            if self.process.poll() is not None:
                sys.exit("the server did not start")
        return self

    def _when_ready(self) -> "Serving":
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/health")
        connection.getresponse().read()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Ends the server by a SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=120)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Load:
    """Clients that send photographs until each has its answer.

    Attributes:
        server: Where they are sent.
        photographs: The bytes of each request.
        answers: Row by request.
        retries: Requests sent again, by the reason.
    """

    server: Serving
    photographs: list[bytes]
    answers: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    retries: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    at_half: Callable[[], None] = lambda: None

    def run(self) -> None:
        """Returns when each photograph has its answer."""
        todo = SimpleQueue[int]()
        for number in range(len(self.photographs)):
            todo.put(number)
        self._lock, self._left = threading.Lock(), len(self.photographs)
        self._first_s, self._answered_s = list[float](), list[float]()
        threads = [threading.Thread(target=self._client, args=(todo,)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        while self._left > len(self.photographs) // 2:
            time.sleep(0.01)
        self.at_half()
        for thread in threads:
            thread.join()

    def rate(self) -> float:
        """Answers per second from the moment at which each client has had one."""
        after = [time_s for time_s in self._answered_s if time_s > max(self._first_s)]
        return len(after) / (max(after) - max(self._first_s))

    def _client(self, todo: "SimpleQueue[int]") -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        is_first = True
        while True:
            try:
                number = todo.get_nowait()
            except Empty:
                return
            start_s = time.monotonic()
            row = self._answer(connection, self.photographs[number])
            with self._lock:
                self.answers.setdefault(number, []).append(row)
                self._left -= 1
                self._answered_s.append(time.monotonic())
                if is_first:
                    self._first_s.append(self._answered_s[-1])
                else:
                    self.latencies_s.append(self._answered_s[-1] - start_s)
            is_first = False

    def _answer(self, connection: http.client.HTTPConnection, data: bytes) -> dict[str, Any]:
        while True:
            try:
                connection.request("POST", "/v1/score", data, {"Content-Type": "image/jpeg"})
                response = connection.getresponse()
                row: dict[str, Any] = json.loads(response.read())
                if response.status != http.client.SERVICE_UNAVAILABLE:
                    return row
                reason = "503"
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                reason = type(error).__name__
            with self._lock:
                self.retries[reason] += 1
            time.sleep(_TRY_AGAIN_S)


def restart_under_load(bundle: Path, scratch: Path, requests: int) -> dict[str, Any]:
    """Sends photographs while the server ends and another one starts; compares each row with that of `score`."""
    drawn = [photograph(seed) for seed in range(_DRAWN)]
    expected = rows_of_score(bundle, drawn, scratch)
    exit_codes, down_s = list[int](), list[float]()
    with Serving(bundle) as first:
        load = Load(first, [drawn[number % _DRAWN] for number in range(requests)])

        def restart() -> None:
            start_s = time.monotonic()
            exit_codes.append(first.stop())
            first.__enter__()
            down_s.append(time.monotonic() - start_s)

        load.at_half = restart
        load.run()
    answers = load.answers
    wrong = sum(without_folder(row) != expected[number % _DRAWN] for number, rows in answers.items() for row in rows)
    return {
        "requests": requests,
        "lost": requests - len(answers),
        "answered_twice": sum(len(rows) > 1 for rows in answers.values()),
        "wrong": wrong,
        "exit_code": exit_codes[0],
        "from_sigterm_to_ready_again_s": round(down_s[0], 2),
        "sent_again": dict(load.retries),
    }


def rows_of_score(bundle: Path, drawn: Iterable[bytes], scratch: Path) -> list[dict[str, Any]]:
    folder, out = scratch / "drawn", scratch / "drawn.jsonl"
    folder.mkdir()
    for number, data in enumerate(drawn):
        (folder / f"{number:04d}.jpg").write_bytes(data)
    command = [sys.executable, "-m", "dr_pipeline", "score", folder, "--bundle", bundle, "--out", out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [without_folder(json.loads(line)) for line in out.read_text(encoding="utf-8").splitlines()]


def without_folder(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _OF_THE_FOLDER}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
