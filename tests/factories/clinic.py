"""DICOM photographs as cameras send them, a DICOM archive for tests, and the node as a process."""

import io
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories.bundles import photograph
from tests.factories.dicom import JPEG_BASELINE, PATIENT, dicom

# Of the system: pynetdicom installs other programs under dcmtk's names.
_PROGRAMS = "/usr/local/bin:/usr/bin:/opt/homebrew/bin:/usr/local/sbin:/usr/sbin"
ORTHANC, DSRDUMP, ECHOSCU, STORESCU = (
    shutil.which(name, path=_PROGRAMS) for name in ("Orthanc", "dsrdump", "echoscu", "storescu")
)
_ROOT = "1.2.826.0.1.3680043.10.999"


@lru_cache(maxsize=64)
def _jpeg(seed: int, side_px: int) -> bytes:
    return photograph(seed, side_px=side_px)


def clinic_photograph(number: int, *, side_px: int = 256, seed: int | None = None, **fields: Any) -> bytes:
    """A drawn photograph as a fundus camera sends it: ophthalmic photography, an encapsulated JPEG.

    Args:
        number: Makes its UIDs.
        side_px: Of the fundus; the frame is larger.
        seed: Of the drawing; the number where None.
        fields: Further elements; None leaves one out.
    """
    stream = _jpeg(number if seed is None else seed, side_px)
    shape = np.empty((side_px + 20, side_px + 60, 3), np.uint8)
    return camera_dicom(number, stream, shape, **fields)


def camera_dicom(number: int, stream: bytes, shape: np.ndarray[Any, Any], **fields: Any) -> bytes:
    """A JPEG stream as a DICOM photograph; `shape` has the picture's height and width."""
    elements: dict[str, Any] = {
        "SOPInstanceUID": sop_instance(number),
        "StudyInstanceUID": f"{_ROOT}.1.{number // 4}",
        "SeriesInstanceUID": f"{_ROOT}.2.{number // 4}",
        "StudyDate": "20261126",
        "StudyTime": "090807",
        "StudyID": "7",
        "PatientSex": "F",
        "ImageLaterality": "LR"[number % 2],
        **PATIENT,
        **fields,
    }
    absent = [keyword for keyword, value in elements.items() if value is None]
    kept = {keyword: value for keyword, value in elements.items() if keyword not in absent}
    return dicom(shape, syntax=JPEG_BASELINE, photometric="YBR_FULL_422", stream=stream, **kept)


def sop_instance(number: int) -> str:
    return f"{_ROOT}.3.{number}"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until(holds: Callable[[], Any], *, timeout_s: float = 30.0) -> Any:
    """What `holds` returns once it is true."""
    end = time.monotonic() + timeout_s
    while not (value := holds()):
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)
    return value


@dataclass
class Archive:
    """A storage SCP in this process, which keeps what it gets.

    Attributes:
        port: Where it listens.
        received: Data sets by SOP instance UID.
        files: The same as DICOM files.
        stored_s: When the last report on a photograph came (monotonic clock), by the photograph's UID.
        count: Requests, those of the same UID too.
        status: What it answers.
    """

    port: int = 0
    received: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    stored_s: dict[str, float] = field(default_factory=dict)
    count: int = 0
    status: int = 0x0000


def cited(report: Any) -> str:
    """The UID of the photograph that a report is about."""
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    return str(study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


@contextmanager
def archive(*, port: int = 0, tls: Any = None) -> Iterator[Archive]:
    """Runs a storage SCP for structured reports, called PACS."""
    from pynetdicom import AE, evt
    from pynetdicom.sop_class import ComprehensiveSRStorage

    kept = Archive()

    def store(event: Any) -> int:
        kept.count += 1
        if kept.status == 0x0000:
            kept.received[str(event.request.AffectedSOPInstanceUID)] = event.dataset
            kept.files[str(event.request.AffectedSOPInstanceUID)] = event.encoded_dataset()
            kept.stored_s[cited(event.dataset)] = time.monotonic()
        return kept.status

    ae = AE(ae_title="PACS")
    ae.add_supported_context(ComprehensiveSRStorage)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)], ssl_context=tls)
    kept.port = server.server_address[1]
    try:
        yield kept
    finally:
        server.shutdown()


@dataclass
class Node:
    """A node that runs as a process of its own."""

    process: "subprocess.Popen[str]"
    port: int
    queue: Path
    log: Path


def start_node(
    queue: Path, bundle: Path, send_to: str, *arguments: str, allow: str = "CAMERA,ORTHANC,STORESCU"
) -> Node:
    """Starts `dr-pipeline listen` on a free port and waits until it listens."""
    queue.mkdir(parents=True, exist_ok=True)
    log = queue / "log.txt"
    words = ["listen", "--aet", "DRNODE", "--port", "0", "--host", "127.0.0.1", "--allow", allow]
    words += ["--bundle", str(bundle), "--queue", str(queue), "--send-to", send_to, "--workers", "1", *arguments]
    known = len(log.read_text()) if log.exists() else 0
    with log.open("a") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "dr_pipeline", *words], stdout=stream, stderr=stream, text=True
        )

    def port() -> int:
        assert process.poll() is None, log.read_text()
        found = re.search(r"listens on port (\d+)", log.read_text()[known:])
        return int(found[1]) if found else 0

    try:
        return Node(process, wait_until(port, timeout_s=60), queue, log)
    except BaseException:
        process.kill()
        process.wait()
        raise


def stop_node(node: Node) -> str:
    """Ends it by SIGTERM, as a service manager does; returns what it logged."""
    node.process.terminate()
    assert node.process.wait(60) == 0, node.log.read_text()
    return node.log.read_text()


@contextmanager
def running_node(queue: Path, bundle: Path, send_to: str, *arguments: str, **options: Any) -> Iterator[Node]:
    """A node that is ended at the end."""
    node = start_node(queue, bundle, send_to, *arguments, **options)
    try:
        yield node
    finally:
        if node.process.poll() is None:
            node.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                node.process.wait(60)
            node.process.kill()


def send(port: int, files: list[bytes], *, title: str = "CAMERA", called: str = "DRNODE", tls: Any = None) -> list[int]:
    """Sends DICOM files by one association, as they are; returns the statuses, -1 where there was no answer.

    Raises:
        ConnectionRefusedError: The association was refused.
    """
    from pydicom import dcmread
    from pynetdicom import AE

    data_sets = [dcmread(io.BytesIO(data), force=True) for data in files]
    ae = AE(ae_title=title)
    for uid, syntax in {(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in data_sets}:
        ae.add_requested_context(uid, syntax)
    association = ae.associate("127.0.0.1", port, ae_title=called, tls_args=tls)
    if not association.is_established:
        raise ConnectionRefusedError
    statuses = []
    for data_set in data_sets:
        try:
            statuses.append(association.send_c_store(data_set).get("Status", -1))
        except (RuntimeError, ValueError):
            statuses.append(-1)
    association.release()
    return statuses


@dataclass(frozen=True)
class OrthancServer:
    """A real archive on this machine."""

    http_port: int
    dicom_port: int

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=20) as answer:
            body = answer.read()
        return json.loads(body) if answer.headers.get_content_type() == "application/json" else body

    def post(self, path: str, body: bytes) -> Any:
        address = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(urllib.request.Request(address, data=body), timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def reports(self) -> list[str]:
        """Orthanc's ids of the structured reports that it has."""
        query = {"Level": "Instance", "Query": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33"}}
        return list(self.post("/tools/find", json.dumps(query).encode()))


@contextmanager
def orthanc(folder: Path, *, lua: str = "", modalities: dict[str, list[Any]] | None = None) -> Iterator[OrthancServer]:
    """Runs Orthanc with the configuration of docs/how-to/dicom-node.md."""
    if ORTHANC is None:
        pytest.skip("Orthanc: absent")
    folder.mkdir(parents=True, exist_ok=True)
    server = OrthancServer(free_port(), free_port())
    script = folder / "route.lua"
    script.write_text(lua)
    configuration = {
        "Name": "Test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": server.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomPort": server.dicom_port,
        "DicomModalities": modalities or {},
        "DicomAlwaysAllowStore": True,
        "LuaScripts": [str(script)] if lua else [],
        "Plugins": [],
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen([ORTHANC, str(path)], stdout=log, stderr=log)
    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "orthanc.log").read_text()[-2000:]
            with suppress(OSError):
                return bool(server.get("/system"))
            return False

        wait_until(answers, timeout_s=60)
        yield server
    finally:
        process.terminate()
        process.wait(30)
