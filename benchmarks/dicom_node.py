"""The DICOM node: from C-STORE to the report in the archive, and killed at random moments.

python -m benchmarks.dicom_node latency --bundle data/release --photographs FOLDER [--out …]
python -m benchmarks.dicom_node killed [--files 500] [--kills 10] [--out reports/benchmarks/dicom_node.json]

`latency` sends the JPEG photographs of a folder, encapsulated as a camera does it: the first ones one by one, each
after the report on the one before has come, then `--files` in one association, as fast as the node takes them. Each has
its own UID. A time runs from the request to the moment at which an archive in this process has the report.
`killed` sends drawn photographs in associations of 25, and kills the node (SIGKILL) at random moments; what was not
answered is sent again.
"""

import argparse
import json
import random
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interruptions import watched
from dr_pipeline.files import write_json
from dr_pipeline.machine import describe_machine
from dr_pipeline.tables.predictions import read_predictions
from tests.factories.bundles import make_bundle
from tests.factories.clinic import (
    DSRDUMP,
    Node,
    archive,
    camera_dicom,
    cited,
    clinic_photograph,
    send,
    sop_instance,
    start_node,
    stop_node,
    wait_until,
)

_ONE_BY_ONE = 40
_PER_ASSOCIATION = 25
_SMALL_PX = 160


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("latency", "killed"))
    parser.add_argument("--bundle", type=Path, help="of the latency")
    parser.add_argument("--photographs", type=Path, help="folder of JPEG photographs, of the latency")
    parser.add_argument("--files", type=int)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", default="2")
    parser.add_argument("--out", type=Path, help="report (JSON), to which the figures are added")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if args.what == "latency":
            figures = latency(Path(scratch), args.bundle, args.photographs, args.files or 200, args.workers)
        else:
            figures = killed(Path(scratch), args.files or 500, args.kills)
    print(json.dumps(figures, indent=2))
    if args.out:
        earlier = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
        write_json(args.out, {**earlier, "machine": describe_machine(), args.what: figures})


def latency(root: Path, bundle: Path, photographs: Path, count: int, workers: str) -> dict[str, Any]:
    import cv2

    paths = sorted(path for path in photographs.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    shape = cv2.imread(str(paths[0])).shape

    def photograph(number: int) -> bytes:
        return camera_dicom(number, paths[number % len(paths)].read_bytes(), np.empty(shape, np.uint8))

    with archive() as pacs, watched() as memory:
        node = start_node(root / "queue", bundle, f"PACS@127.0.0.1:{pacs.port}", "--workers", workers)
        memory.process = node.process.pid
        alone = []
        for number in range(_ONE_BY_ONE):
            start_s = time.monotonic()
            send(node.port, [photograph(number)])
            wait_until(lambda number=number: sop_instance(number) in pacs.stored_s, timeout_s=120)
            alone.append(pacs.stored_s[sop_instance(number)] - start_s)
        memory.writer_bytes.clear()
        numbers = range(_ONE_BY_ONE, _ONE_BY_ONE + count)
        start_s = time.monotonic()
        starts_s, statuses = send_timed(node, [photograph(number) for number in numbers])
        wait_until(lambda: len(pacs.received) == _ONE_BY_ONE + count, timeout_s=600)
        seconds = time.monotonic() - start_s
        course, peak_mib = memory.course(), memory.peak_mib()
        stop_node(node)
    together = [pacs.stored_s[sop_instance(number)] - start for number, start in zip(numbers, starts_s, strict=True)]
    rows = read_predictions(root / "queue" / "predictions.csv")
    return {
        "pixels": f"{shape[1]} x {shape[0]}",
        "distinct_photographs": min(len(paths), _ONE_BY_ONE + count),
        "workers": int(workers),
        "one_by_one_s": percentiles(alone[1:]),
        "one_association_s": percentiles(together),
        "one_association": {
            "photographs": count,
            "stored": statuses.count(0),
            "rows": len(rows) - _ONE_BY_ONE,
            "reports": len(pacs.received) - _ONE_BY_ONE,
            "reports_valid": valid(root / "reports", list(pacs.files.values())) - _ONE_BY_ONE,
            "seconds": round(seconds, 1),
            "mib_of_the_receiving_process": course,
            "peak_mib_of_all": peak_mib,
        },
    }


def send_timed(node: Node, files: list[bytes]) -> tuple[list[float], list[int]]:
    """Sends by one association; the moment of each request, and the statuses."""
    import io

    from pydicom import dcmread
    from pynetdicom import AE

    ae = AE(ae_title="CAMERA")
    first = dcmread(io.BytesIO(files[0]))
    ae.add_requested_context(first.SOPClassUID, first.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", node.port, ae_title="DRNODE")
    starts_s, statuses = [], []
    for data in files:
        data_set = dcmread(io.BytesIO(data))
        starts_s.append(time.monotonic())
        statuses.append(int(association.send_c_store(data_set).Status))
    association.release()
    return starts_s, statuses


def percentiles(seconds: list[float]) -> dict[str, Any]:
    """p50, p95 with its 95 % bootstrap interval, and the longest."""
    rng = np.random.default_rng(0)
    p95 = np.percentile(rng.choice(seconds, (2000, len(seconds))), 95, axis=1)
    low, high = np.percentile(p95, (2.5, 97.5))
    values = {"p50": np.median(seconds), "p95": np.percentile(seconds, 95), "p95_low": low, "p95_high": high}
    return {name: round(float(value), 3) for name, value in (*values.items(), ("max", max(seconds)))} | {
        "n": len(seconds)
    }


def killed(root: Path, count: int, kills: int) -> dict[str, Any]:
    bundle, queue, rng = make_bundle(root / "bundle"), root / "queue", random.Random(14)  # noqa: S311 - no secret
    answered: set[int] = set()
    rows_at: list[int] = []
    resent = 0
    with archive() as pacs:
        destination = f"PACS@127.0.0.1:{pacs.port}"
        node = start_node(queue, bundle, destination)
        # A kill falls within a stretch of the photographs, at any moment of what is done with them.
        stretch = count // (kills + 1)
        while len(answered) < count:
            todo = [number for number in range(count) if number not in answered][:_PER_ASSOCIATION]
            if len(rows_at) < kills and len(answered) >= (len(rows_at) + 1) * stretch - _PER_ASSOCIATION:
                process = node.process
                delay_s = rng.uniform(0.0, 3.0)
                before = len(answered)
                kill_at(process, delay_s)
                with suppress(ConnectionRefusedError):
                    answered |= answers(node, todo)
                process.wait()
                resent += len(todo) - (len(answered) - before)
                rows_at.append(len(pacs.received))
                node = start_node(queue, bundle, destination)
            else:
                answered |= answers(node, todo)
        wait_until(lambda: len(pacs.stored_s) == count, timeout_s=300)
        log = stop_node(node)
    rows = [row.path for row in read_predictions(queue / "predictions.csv")]
    return {
        "photographs": count,
        "kills": len(rows_at),
        "reports_in_the_archive_when_killed": rows_at,
        "sent_again_by_the_camera": resent,
        "rows": len(rows),
        "photographs_with_one_row": sum(rows.count(f"{sop_instance(number)}.dcm") == 1 for number in range(count)),
        "reports": len(pacs.received),
        "photographs_with_a_report": len({cited(report) for report in pacs.received.values()}),
        "reports_sent_twice": pacs.count - len(pacs.received),
        "reports_valid": valid(root / "reports", list(pacs.files.values())),
        "last_line": log.strip().splitlines()[-1],
    }


def valid(folder: Path, reports: list[bytes]) -> int:
    """How many reports dcmtk's dsrdump prints without an error or a warning, and highdicom reads."""
    import highdicom

    if DSRDUMP is None:
        raise SystemExit("dsrdump of dcmtk: absent")
    folder.mkdir()
    path, good = folder / "report.dcm", 0
    for report in reports:
        path.write_bytes(report)
        dumped = subprocess.run([DSRDUMP, path], capture_output=True, check=False)
        read = highdicom.sr.srread(path)
        good += not dumped.returncode and not dumped.stderr.strip() and len(read.get_evidence()) == 1
    return good


def kill_at(process: Any, delay_s: float) -> None:
    """Kills a process in a while."""
    import threading

    threading.Timer(delay_s, process.kill).start()


def answers(node: Node, numbers: list[int]) -> set[int]:
    """Sends photographs; those that were answered with success."""
    statuses = send(node.port, [clinic_photograph(n, seed=n % 40, side_px=_SMALL_PX) for n in numbers])
    return {number for number, status in zip(numbers, statuses, strict=True) if status == 0}


if __name__ == "__main__":
    main()
