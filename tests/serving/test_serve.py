"""`dr-pipeline serve` over real HTTP: the rows of `score`, what is refused, what is kept, and how it ends."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.signature import make_keys, read_secret_key, sign_bundle
from dr_pipeline.bundle_storage import file_names, pack_files, read_stored
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.scoring.outputs import read_rows
from dr_pipeline.tables.predictions import PREDICTIONS
from tests.factories.bundles import encode, make_bundle, photograph
from tests.factories.scoring import score_in_process
from tests.factories.servers import Running, serving

pytestmark = pytest.mark.slow

MAX_MEGABYTES = 2
NAME = "Müller Ärzte/links 1.jpg"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "release")


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = ("--max-megabytes", str(MAX_MEGABYTES), "--timeout", "1", "--time-limit", "20", "--queue", "4")
    with serving(bundle, tmp_path_factory.mktemp("serve"), *options) as running:
        yield running


def files_of_each_kind() -> dict[str, bytes]:
    import numpy as np

    bomb = bytearray(encode(np.zeros((64, 64, 3), np.uint8), ".bmp"))
    bomb[18:26] = (30_000).to_bytes(4, "little") * 2  # 900 megapixels by its header
    return {
        "photograph.jpg": photograph(1),
        "photograph.png": encode(np.full((300, 300, 3), 90, np.uint8), ".png"),
        "truncated.jpg": photograph(2)[:2000],
        "text.jpg": b"Dear colleague,\n",
        "empty.jpg": b"",
        "bomb.bmp": bytes(bomb),
    }


def test_each_answer_is_the_row_of_score(server: Running, bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, data in files_of_each_kind().items():
        (folder / name).write_bytes(data)
    score_in_process(folder, bundle, tmp_path / "rows.jsonl")
    expected = {row.path: PREDICTIONS.values(row) for row in read_rows(tmp_path / "rows.jsonl")}
    assert {row["status"] for row in expected.values()} >= {"scored", "failed"}
    for name, data in files_of_each_kind().items():
        status, row = server.score(data, X_File_Name=name)
        if expected[name]["status"] == "failed":
            assert status == 422
            assert row.pop("error") == row["reason"]
            assert "JPEG" in row.pop("todo")
        else:
            assert status == 200
        assert row | {"image_id": "", "duplicate_of": ""} == expected[name] | {"image_id": "", "duplicate_of": ""}


def test_photographs_of_many_cameras_are_the_rows_of_score(cameras_dir: Path, tmp_path: Path, server, bundle) -> None:
    chosen = sorted((cameras_dir / "photographs").iterdir())[::16]
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in chosen:
        (folder / path.name).symlink_to(path)
    from dr_pipeline.folder_rules import FolderRules

    score_in_process(folder, bundle, tmp_path / "rows.jsonl", rules=FolderRules(follow_links=True))
    expected = {row.path: PREDICTIONS.values(row) for row in read_rows(tmp_path / "rows.jsonl")}
    assert len(expected) == len(chosen)
    small = [path for path in chosen if path.stat().st_size < MAX_MEGABYTES * 1_000_000]
    assert len(small) >= 4
    for path in small:
        _, row = server.score(path.read_bytes(), X_File_Name=path.name)
        assert row == expected[path.name] | {key: row[key] for key in row if key not in expected[path.name]}


def test_a_name_is_in_the_row_alone(server: Running) -> None:
    from urllib.parse import quote

    _, row = server.score(photograph(3), X_File_Name=quote(NAME))
    assert row["path"] == NAME
    assert server.score(photograph(3))[1]["path"] == "photograph"
    for encoding in ("utf-8", "latin-1"):  # as curl and as Python's http.client send a name that is not encoded
        assert server.score(photograph(3), X_File_Name="Müller 4%.jpg".encode(encoding))[1]["path"] == "Müller 4%.jpg"
    assert "ller" not in server.log.read_text()


@pytest.mark.parametrize(
    ("headers", "status", "what"),
    [
        ({"Content_Type": "text/plain"}, 415, "text/plain"),
        ({"Content_Type": "multipart/form-data; boundary=x"}, 415, "--data-binary"),
        ({"Content_Encoding": "gzip"}, 415, "compressed"),
        ({"Content_Length": "2000000000"}, 413, "2 MB"),
    ],
)
def test_what_is_stated_to_be_no_photograph_is_refused_unread(server: Running, headers, status, what) -> None:
    body = None if "Content_Length" in headers else b"some bytes"
    got, answer = server.score(body, **headers)
    assert got == status
    assert what in f"{answer['error']} {answer['todo']}"


def test_a_body_that_grows_beyond_the_limit_is_refused_and_the_answer_arrives(server: Running) -> None:
    pieces = (b"\xff" * 1_000_000 for _ in range(20))  # sent whole before the answer is read
    status, answer = server.score(pieces)
    assert (status, answer["error"]) == (413, "the photograph is larger than 2 MB")


def test_slow_senders_are_refused_and_hold_no_place(server: Running) -> None:
    """Three times as many as there are places: some have sent no head, some no whole body, some all but a byte."""
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(12)]
    for number, connection in enumerate(slow):
        head = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"
        connection.sendall((head[:17], head + b"slow", head + b"s" * 1000)[number % 3])
    wait(lambda: server.metric("dr_pipeline_held_bytes") == 4 * 1004)
    assert server.metric("dr_pipeline_accepted") == 0
    assert server.score(photograph(4))[0] == 200  # meanwhile
    for number, connection in enumerate(slow):
        assert b"408 Request Timeout" in (answer := received(connection))
        assert (b"did not arrive within 1 s" in answer) == (number % 3 > 0)
        connection.close()
    assert server.metric("dr_pipeline_held_bytes") == 0


def test_who_fills_the_memory_slowly_goes_for_others(bundle: Path, tmp_path: Path) -> None:
    """One place of 1 MB: a sender that has sent nearly all of it and stalls is ended when another one comes."""
    with serving(bundle, tmp_path, "--max-megabytes", "1", "--queue", "1", "--timeout", "60") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as stalled:
            stalled.sendall(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"s" * 999_999)
            wait(lambda: server.metric("dr_pipeline_held_bytes") == 999_999)
            status, answer = server.score(photograph(4))
            if status == 503:  # it had sent for less than a second
                assert answer["error"] == "the memory for photographs is full"
                time.sleep(1.1)
                status, answer = server.score(photograph(4))
            assert (status, answer["status"]) == (200, "scored")
            assert b"408 Request Timeout" in (refused := received(stalled))
            assert b"kept others waiting" in refused
        assert server.metric("dr_pipeline_held_bytes") == 0


def received(connection: socket.socket) -> bytes:
    connection.settimeout(10)
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def test_a_full_queue_refuses_with_the_time_to_come_again(server: Running) -> None:
    """The workers stand still, so that four photographs stay in their places."""
    connections = [server.connection() for _ in range(4)]
    for worker in workers_of(server):
        os.kill(worker, signal.SIGSTOP)
    try:
        for number, connection in enumerate(connections):
            connection.request("POST", "/v1/score", photograph(number), {"Content-Type": "image/jpeg"})
        wait(lambda: server.metric("dr_pipeline_accepted") == 4)
        status, headers, answer = server.ask("POST", "/v1/score", photograph(5), Content_Type="image/jpeg")
    finally:
        for worker in workers_of(server):
            os.kill(worker, signal.SIGCONT)
    assert (status, headers["retry-after"]) == (503, "1")
    assert "queue is full: 4" in answer["error"]
    assert [connection.getresponse().status for connection in connections] == [200] * 4
    wait(lambda: server.metric("dr_pipeline_accepted") == 0)
    assert server.score(photograph(5))[0] == 200


def workers_of(server: Running) -> list[int]:
    """Process ids, as children of the fork server."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(ppid) for pid, ppid in (line.split() for line in listed.splitlines()[1:])}
    workers = [pid for pid, parent in parents.items() if parents.get(parent) == server.process.pid]
    assert workers
    return workers


def wait(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_worker_that_is_killed_is_replaced_and_its_photograph_scored(server: Running) -> None:
    for worker in workers_of(server):
        os.kill(worker, signal.SIGKILL)
    assert server.score(photograph(6))[1]["status"] == "scored"


def test_health_metrics_and_description(server: Running) -> None:
    status, headers, health = server.ask("GET", "/health")
    assert (status, health["ready"], health["research_use"]) == (200, True, RESEARCH_USE)
    assert "default-src 'none'" in headers["content-security-policy"]
    before = server.metric('dr_pipeline_rows_total{status="failed"}')
    server.score(b"text")
    assert server.metric('dr_pipeline_rows_total{status="failed"}') == before + 1
    assert server.metric('dr_pipeline_requests_total{code="422",path="/v1/score"}') >= 1
    assert server.metric(f'dr_pipeline_bundle_info{{bundle_id="{health["bundle_id"]}"') == 1
    server.ask("GET", "/patients/4711.jpg")
    assert "4711.jpg" not in server.ask("GET", "/metrics")[2]
    api = server.ask("GET", "/openapi.json")[2]
    row = api["paths"]["/v1/score"]["post"]["responses"]["200"]["content"]["application/json"]
    assert list(row["schema"]["properties"]) == list(row["example"]) == list(PREDICTIONS.columns)
    assert all(value is not None for value in row["example"].values())
    failed = api["paths"]["/v1/score"]["post"]["responses"]["422"]["content"]["application/json"]
    assert set(failed["example"]) == set(failed["schema"]["required"])
    assert server.ask("GET", "/docs")[0] == 404  # FastAPI's page loads scripts from elsewhere
    assert server.ask("GET", "/v1/score")[0] == 405


@pytest.mark.parametrize("path", ["/", "/health", "/health/live", "/metrics", "/openapi.json", "/nothing", "/v1/score"])
def test_head_is_answered_as_get_without_a_body(server: Running, path: str) -> None:
    """Load balancers ask so whether a server is there."""
    connection = server.connection()
    connection.request("HEAD", path)
    head = connection.getresponse()
    assert head.read() == b""
    connection.request("GET", path)  # the connection holds
    get = connection.getresponse()
    length = len(get.read())
    assert head.status == get.status == {"/nothing": 404, "/v1/score": 405}.get(path, 200)
    assert head.getheader("content-type") == get.getheader("content-type")
    if path != "/metrics":  # whose counters have moved
        assert int(head.getheader("content-length", "")) == length
    connection.close()


def test_sigterm_answers_what_was_accepted_and_ends_with_0(bundle: Path, tmp_path: Path) -> None:
    """Among it: requests that wait, one on a connection that is open already, and one whose body is on its way."""
    with serving(bundle, tmp_path, "--token-file", str(token(tmp_path))) as server:
        known = {"Authorization": "Bearer 0123456789abcdef", "Content-Type": "image/jpeg"}
        assert server.score(photograph(0))[0] == server.ask("GET", "/metrics")[0] == 401
        assert server.score(photograph(0), Authorization="Bearer ü" * 3)[0] == 401
        assert server.score(photograph(0), Authorization="Basic 0123456789abcdef")[0] == 401
        assert server.ask("GET", "/metrics", Authorization="bearer  0123456789abcdef")[0] == 200  # RFC 9110, 11.1
        kept, slow, *waiting = connections = [server.connection() for _ in range(14)]
        kept.request("GET", "/health")
        kept.getresponse().read()
        slow.putrequest("POST", "/v1/score")
        for name, value in (known | {"Content-Length": str(len(photograph(7)))}).items():
            slow.putheader(name, value)
        slow.endheaders(photograph(7)[:100])
        for number, connection in enumerate(waiting):
            connection.request("POST", "/v1/score", photograph(number), known)
        server.process.send_signal(signal.SIGTERM)
        wait(lambda: not can_connect(server.port))
        kept.request("POST", "/v1/score", photograph(8), known)
        slow.send(photograph(7)[100:])
        for connection in connections:
            response = connection.getresponse()
            assert (response.status, response.read()[:2]) == (200, b'{"')
        assert server.process.wait(timeout=30) == 0
        assert "14 photographs: 14 scored" in server.log.read_text()


def token(folder: Path) -> Path:
    (folder / "token").write_text("0123456789abcdef\n")
    return folder / "token"


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_a_signed_file_by_tls_and_nothing_without(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("minisign", reason="the extra signing: absent")
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl: absent")
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([openssl, *command.split(), *names], cwd=tmp_path, check=True, capture_output=True)
    files = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    make_keys(tmp_path / "key", "")
    assert cli.main(["serve", str(bundle), "--require-signature", str(tmp_path / "key.pub")]) == 2  # it is not signed
    signed = make_bundle(tmp_path / "signed")
    sign_bundle(read_bundle(signed, threads=1), read_secret_key(tmp_path / "key", str))
    packed = tmp_path / "signed.drbundle"
    pack_files({name: read_stored(signed, name) for name in file_names(signed)}, packed)
    with serving(packed, tmp_path, *files, "--require-signature", str(tmp_path / "key.pub")) as server:
        assert "https://127.0.0.1" in server.log.read_text()
        with pytest.raises((OSError, http.client.HTTPException)):
            server.score(photograph(1))
        trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=30, context=trusted)
        connection.request("POST", "/v1/score", photograph(1))
        assert json.loads(connection.getresponse().read())["status"] == "scored"
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == 0


def test_a_server_that_cannot_start_says_why(bundle: Path, tmp_path: Path, capsys, caplog) -> None:
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(package, reason=f"{package}: absent")

    def fails(*arguments: str) -> str:
        caplog.clear()
        capsys.readouterr()
        assert cli.main(["serve", str(bundle), *arguments]) == 2
        return capsys.readouterr().err + caplog.text

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "choose another --host or --port" in fails("--port", str(taken.getsockname()[1]))
    (tmp_path / "short").write_text("secret")
    message = fails("--token-file", str(tmp_path / "short"))
    assert "at least 16 characters" in message
    assert "secret" not in message.replace("import secrets", "").replace("secrets.token", "")
    assert "cannot be read" in fails("--token-file", str(tmp_path / "absent"))
    assert "name both" in fails("--tls-cert", "cert.pem")
    assert "TLS file cannot be used" in fails(
        "--tls-cert", str(tmp_path / "short"), "--tls-key", str(tmp_path / "short")
    )
    assert "no threshold" in fails("--port", "0", "--site", "nowhere")
    broken = make_bundle(tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"altered")
    assert cli.main(["serve", str(broken), "--port", "0", "--workers", "1"]) == 2
    assert json.loads((broken / "metadata.json").read_text())


@pytest.mark.parametrize("host", ["ä..b", "a" * 64 + ".example", "no such host"])
def test_an_address_that_none_can_have_is_one_message(bundle: Path, capsys: pytest.CaptureFixture[str], host) -> None:
    assert cli.main(["serve", str(bundle), "--host", host, "--port", "0"]) == 2
    error = capsys.readouterr().err
    assert f"cannot listen on {host!r}, port 0" in error
    assert "to do: choose another --host" in error
