"""A screening day with drawn patients: two cameras send photographs by DICOM, every patient gets a result.

python examples/04_screening_day.py --bundle data/release --out day [--send-to ORTHANC@HOST:PORT] [--patients 40]

Over an hour of simulated time two cameras photograph both eyes of every patient. One of them drifts, some photographs
are taken again, one object is no photograph of an eye, one is damaged on the way, and the node is killed in the middle
and started again. What was sent and answered must then be in the table, once each; the results of the patients, the
review page and the comparison of each camera with an earlier day are made of it. Without --send-to, the reports go to
an archive that runs here for the time being. Research use only. Not a medical device.
"""

import argparse
import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ComprehensiveSRStorage,
    CTImageStorage,
    OphthalmicPhotography8BitImageStorage,
)

from dr_pipeline.intake.phantom.cameras import CAMERAS
from dr_pipeline.intake.phantom.cohort import EyeCase, draw_cohort
from dr_pipeline.intake.phantom.photograph import render
from dr_pipeline.tables.predictions import read_predictions

_SEED, _MEGAPIXELS = 41, 0.5
_GRADE_SHARES = (0.6, 0.1, 0.2, 0.05, 0.05)
_STEADY, _DRIFTING = "alder", "cedar"
_MINUTES, _DRIFTED_BY = 60, 15
_TITLE = "DRNODE"


@dataclass(frozen=True)
class Sent:
    """One object as a camera sends it.

    Attributes:
        minute: Of the simulated hour.
        camera: Its AE title.
        data: The DICOM file.
        uid: Its SOP instance UID.
        kind: "photograph", "retake", "other modality" or "damaged".
    """

    minute: float
    camera: str
    data: bytes
    uid: str
    kind: str


def draw_day(patients: int) -> list[Sent]:
    """What the cameras send, in order of time: a right and a left eye of each patient, retakes and two accidents."""
    sent: list[Sent] = []
    for case in draw_cohort(_SEED, patients, _GRADE_SHARES):
        minute = _MINUTES * (case.patient_index + 0.3 * case.eye_index) / patients
        sent.append(_photograph(_SEED, case, minute, "photograph", drift=min(1, minute / _DRIFTED_BY)))
        if (2 * case.patient_index + case.eye_index) % 13 == 5:  # the photographer was not content
            sent.append(_photograph(_SEED, case, minute + 0.2, "retake", drift=min(1, minute / _DRIFTED_BY)))
    middle = sorted(sent, key=lambda one: one.minute)[len(sent) // 2]
    sent.append(_other_modality(middle.minute))
    sent.append(_damaged(middle, middle.minute + 0.1))
    return sorted(sent, key=lambda one: one.minute)


def draw_earlier_day(patients: int) -> list[Sent]:
    """Both eyes of other patients, before the camera drifts."""
    seed = _SEED + 100
    return [_photograph(seed, case, 0, "photograph", drift=0) for case in draw_cohort(seed, patients, _GRADE_SHARES)]


def _photograph(seed: int, case: EyeCase, minute: float, kind: str, *, drift: float) -> Sent:
    """One eye, by the one or the other camera; `drift` from 0 to 1."""
    camera = _DRIFTING if case.patient_index % 2 else _STEADY
    drawn = replace(case, camera=camera, ungradable=case.ungradable and kind == "photograph")
    rgb = render(seed + (kind == "retake"), drawn, _MEGAPIXELS, without_lesions=False).rgb
    if camera == _DRIFTING:
        rgb = _drifted(rgb, drift)
    _, jpeg = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, CAMERAS[camera].jpeg_quality])
    uid = generate_uid(entropy_srcs=[f"{seed} {case.image_id} {kind}"])
    header = _header(uid, OphthalmicPhotography8BitImageStorage, case.patient_id, minute)
    header.ImageLaterality = "R" if case.eye.value == "right" else "L"
    header.Manufacturer, header.ManufacturerModelName = "Drawn", camera
    header.Rows, header.Columns = rgb.shape[:2]
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PlanarConfiguration = 3, "YBR_FULL_422", 0
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    header.PixelData = encapsulate([jpeg.tobytes()])
    header["PixelData"].is_undefined_length = True
    return Sent(minute, camera.upper(), _file(header), uid, kind)


def _drifted(rgb: np.ndarray[Any, Any], share: float) -> np.ndarray[Any, Any]:
    """The lamp fails: dimmer, and from white to yellow."""
    gains = 1 - share * np.array([0.2, 0.4, 0.75])
    return np.clip(rgb * gains, 0, 255).astype(np.uint8)


def _other_modality(minute: float) -> Sent:
    """A slice of a computed tomography, sent to the wrong node."""
    uid = generate_uid(entropy_srcs=["slice"])
    header = _header(uid, CTImageStorage, "p0001", minute)
    header.Modality = "CT"
    header.Rows = header.Columns = 8
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    header.PixelData = bytes(64)
    header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    return Sent(minute, _STEADY.upper(), _file(header), uid, "other modality")


def _damaged(whole: Sent, minute: float) -> Sent:
    """A photograph of which the second half was lost before it was sent."""
    header = dcmread(io.BytesIO(whole.data))
    uid = generate_uid(entropy_srcs=["damaged"])
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = uid
    header.PixelData = encapsulate([header.PixelData[16 : len(header.PixelData) // 2]])
    header["PixelData"].is_undefined_length = True
    return Sent(minute, whole.camera, _file(header), uid, "damaged")


def _header(uid: str, sop_class: str, patient: str, minute: float) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    header.file_meta.MediaStorageSOPClassUID, header.file_meta.MediaStorageSOPInstanceUID = sop_class, uid
    header.SOPClassUID, header.SOPInstanceUID, header.Modality = sop_class, uid, "OP"
    header.StudyInstanceUID, header.SeriesInstanceUID = (
        generate_uid(entropy_srcs=[f"{patient} {level}"]) for level in ("study", "series")
    )
    header.PatientID, header.PatientName, header.PatientBirthDate, header.PatientSex = patient, "Drawn^Eye", "", ""
    header.StudyDate, header.StudyTime = "20261126", f"{8 + int(minute // 60):02}{int(minute % 60):02}00"
    header.StudyID, header.AccessionNumber, header.ReferringPhysicianName = "1", "", ""
    return header


def _file(header: Dataset) -> bytes:
    stream = io.BytesIO()
    dcmwrite(stream, header, enforce_file_format=True)
    return stream.getvalue()


def send(sent: Sent, port: int) -> bool:
    """Whether the node has taken an object; False where it refused it or was away."""
    header = dcmread(io.BytesIO(sent.data))
    ae = AE(ae_title=sent.camera)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    ae.add_requested_context(header.SOPClassUID, header.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", port, ae_title=_TITLE)
    if not association.is_established:
        return False
    try:
        return bool(association.send_c_store(header).get("Status", -1) == 0x0000)
    except (RuntimeError, ValueError):  # the node does not take this kind of object
        return False
    finally:
        association.release()


@contextmanager
def archive_here(reports: dict[str, Dataset]) -> Iterator[str]:
    """An archive of this process, which keeps reports by their UIDs; yields TITLE@HOST:PORT."""
    ae = AE(ae_title="ARCHIVE")
    ae.add_supported_context(ComprehensiveSRStorage)

    def store(event: evt.Event) -> int:
        reports[str(event.request.AffectedSOPInstanceUID)] = event.dataset
        return 0x0000

    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        yield f"ARCHIVE@127.0.0.1:{server.server_address[1]}"  # type: ignore[union-attr]
    finally:
        server.shutdown()  # type: ignore[union-attr]


class NodeProcess:
    """`dr-pipeline listen` as a service of this machine."""

    def __init__(self, bundle: Path, queue: Path, send_to: str) -> None:
        queue.mkdir(parents=True, exist_ok=True)
        cameras = f"{_STEADY},{_DRIFTING}".upper()
        words = ["listen", "--aet", _TITLE, "--port", "0", "--host", "127.0.0.1", "--allow", cameras]
        words += ["--bundle", str(bundle), "--queue", str(queue), "--send-to", send_to, "--keep-photographs"]
        self._log = queue / "log.txt"
        known = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("a") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "dr_pipeline", *words], stdout=log, stderr=log)
        self.port = self._port(known)

    def _port(self, known: int) -> int:
        end_s = time.monotonic() + 120
        while time.monotonic() < end_s and self.process.poll() is None:
            if found := re.search(r"listens on port (\d+)", self._log.read_text()[known:]):
                return int(found[1])
            time.sleep(0.05)
        self.process.kill()
        raise SystemExit(f"the node does not listen: {self._log.read_text()[known:]}")

    def kill(self) -> None:
        """As a power failure."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> bool:
        """As a service manager does; whether every report has arrived."""
        self.process.terminate()
        self.process.wait()
        return ", 0 reports wait," in self._log.read_text().splitlines()[-1]


def send_day(day: list[Sent], bundle: Path, queue: Path, send_to: str) -> list[Sent]:
    """Sends the day to a node that is killed in the middle; returns what the node took. What it did not take in time is
    sent again, as cameras do."""
    node = NodeProcess(bundle, queue, send_to)
    taken, missed = [], []
    for number, one in enumerate(day):
        if number == len(day) // 2:
            node.kill()
            node = NodeProcess(bundle, queue, send_to)
        (taken if send(one, node.port) else missed).append(one)
    taken += [one for one in missed if send(one, node.port)]
    photographs = [one for one in day if one.kind != "other modality"]
    wait_s = time.monotonic() + 30 + 3 * len(photographs)
    table = queue / "predictions.csv"
    while time.monotonic() < wait_s and (not table.exists() or len(read_predictions(table)) < len(photographs)):
        time.sleep(0.2)
    while not node.stop() and time.monotonic() < wait_s:  # what the archive has not got yet goes on
        node = NodeProcess(bundle, queue, send_to)
        time.sleep(3)
    return taken


def score_earlier_day(bundle: Path, folder: Path, *, patients: int) -> Path:
    """The table of an earlier day, whose photographs come as files."""
    (folder / "photographs").mkdir(parents=True)
    for sent in draw_earlier_day(patients):
        (folder / "photographs" / f"{sent.uid}.dcm").write_bytes(sent.data)
    table = folder / "predictions.csv"
    run("score", folder / "photographs", "--bundle", bundle, "--out", table, "--dicom-people")
    return table


def run(verb: str, *words: str | Path) -> str:
    """Runs a command of dr-pipeline; returns what it printed."""
    command = [sys.executable, "-m", "dr_pipeline", verb, *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--send-to", default="", metavar="TITLE@HOST:PORT")
    parser.add_argument("--patients", type=int, default=40)
    args = parser.parse_args()
    day, queue, reports = draw_day(args.patients), args.out / "node", dict[str, Dataset]()
    if args.send_to:
        taken = send_day(day, args.bundle, queue, args.send_to)
    else:
        with archive_here(reports) as here:
            taken = send_day(day, args.bundle, queue, here)
    table = queue / "predictions.csv"
    rows = read_predictions(table)
    print(f"{len(day)} objects sent, {len(taken)} taken, {len(rows)} rows")
    for kind in ("photograph", "retake", "other modality", "damaged"):
        print(f"  {kind}: {sum(one.kind == kind for one in day)} sent, {sum(one.kind == kind for one in taken)} taken")
    print(run("results", table, "--out", args.out / "results"), end="")
    print(run("review", table, "--photographs", queue / "photographs", "--out", args.out / "review"), end="")
    baseline = score_earlier_day(args.bundle, args.out / "earlier", patients=max(60, args.patients))
    against = ("--baseline", baseline, "--history", args.out / "history.jsonl")
    print(run("drift", table, "--bundle", args.bundle, "--out", args.out / "drift", *against), end="")
    print(f"{len(reports) or 'the'} reports are in the archive")


if __name__ == "__main__":
    main()
