"""The node with a real archive and real tools: Orthanc and dcmtk, as docs/how-to/dicom-node.md has it."""

import re
import subprocess
from pathlib import Path

import highdicom
import pytest

from dr_pipeline.tables.predictions import read_predictions
from tests.factories import REPOSITORY
from tests.factories.bundles import make_bundle
from tests.factories.clinic import (
    DSRDUMP,
    ECHOSCU,
    STORESCU,
    clinic_photograph,
    free_port,
    orthanc,
    running_node,
    sop_instance,
    stop_node,
    wait_until,
)

pytestmark = pytest.mark.slow

HOW_TO = (REPOSITORY / "docs" / "how-to" / "dicom-node.md").read_text(encoding="utf-8")


def lua() -> str:
    """The routing script of the document."""
    (script,) = re.findall(r"```lua\n(.*?)```", HOW_TO, flags=re.DOTALL)
    return script


def test_from_a_camera_through_orthanc_to_reports_in_orthanc(tmp_path: Path) -> None:
    if None in (STORESCU, ECHOSCU, DSRDUMP):
        pytest.skip("dcmtk: absent")
    port, folder = free_port(), tmp_path / "camera"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.dcm").write_bytes(clinic_photograph(number, side_px=160))
    bundle, queue = make_bundle(tmp_path / "bundle"), tmp_path / "queue"
    modalities = {"drnode": ["DRNODE", "127.0.0.1", port]}
    with orthanc(tmp_path / "orthanc", lua=lua(), modalities=modalities) as pacs:
        destination = f"ORTHANC@127.0.0.1:{pacs.dicom_port}"
        with running_node(queue, bundle, destination, "--port", str(port)) as node:
            echo = [ECHOSCU, "-aet", "ORTHANC", "-aec", "DRNODE", "127.0.0.1", str(port)]
            subprocess.run(echo, check=True)
            storescu = [STORESCU, "-xy", "-aet", "CAMERA", "+sd"]
            # Two through Orthanc, which sends them on; all four straight to the node, which knows two of them by then.
            for name in ("0", "1"):
                (folder / name).mkdir()
                (folder / f"{name}.dcm").rename(folder / name / "photograph.dcm")
                command = [*storescu, "-aec", "ORTHANC", "127.0.0.1", str(pacs.dicom_port), folder / name]
                subprocess.run(command, check=True)
            wait_until(lambda: len(pacs.reports()) == 2)
            subprocess.run([*storescu, "+r", "-aec", "DRNODE", "127.0.0.1", str(port), folder], check=True)
            wait_until(lambda: len(pacs.reports()) == 4)
            stranger = [STORESCU, "-xy", "-aet", "EVIL", "-aec", "DRNODE", "+sd", "+r", "127.0.0.1", str(port), folder]
            refused = subprocess.run(stranger, check=False)
            assert refused.returncode != 0
            stop_node(node)
        rows = read_predictions(queue / "predictions.csv")
        assert sorted(row.path for row in rows) == sorted(f"{sop_instance(number)}.dcm" for number in range(4))
        cited = set()
        for report in pacs.reports():
            path = tmp_path / "report.dcm"
            path.write_bytes(pacs.get(f"/instances/{report}/file"))
            dumped = subprocess.run([DSRDUMP, path], capture_output=True, text=True, check=True)
            assert dumped.stderr.strip() == ""
            cited.add(highdicom.sr.srread(path).get_evidence()[0][2])
        assert cited == {sop_instance(number) for number in range(4)}
