"""A round trip to a real FHIR server, Medplum's; `tools/fhir_server.sh` installs it."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.clinic.fhir.server import FhirServer, Sent
from tests.clinic.fhir.test_resources import resources_of
from tests.clinic.results.test_roll_up import hand_worked

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).with_name("medplum")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    node = shutil.which("node")
    if not node or not (FOLDER / "node_modules" / "@medplum" / "fhir-router").is_dir():
        pytest.skip("Medplum's FHIR server: absent (tools/fhir_server.sh installs it)")
    with subprocess.Popen([node, "server.mjs"], cwd=FOLDER, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            if not (port := process.stdout.readline().strip()):
                pytest.skip("Medplum's FHIR server: absent (this version of Node.js does not run it)")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def get(url: str) -> Any:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as response:
        return json.load(response)


def test_results_are_stored_once_read_back_and_valid(address: str) -> None:
    table = [case for case in hand_worked() if case["policy"] == "rescreen"][::3]
    sent = resources_of(
        *((case["patient"], case["visit"], case["photographs"]) for case in table), patient_system="urn:oid:1.2.3"
    )
    server = FhirServer(f"{address}/fhir")
    for _ in range(2):  # the second time changes nothing
        assert server.send(sent) == {Sent.STORED: len(sent), Sent.REVIEWED: 0, Sent.REFUSED: 0}
        for kind in ("Patient", "Device", "Observation", "DiagnosticReport"):
            ids = {resource["id"] for resources in sent for resource in resources if resource["resourceType"] == kind}
            assert get(f"{address}/fhir/{kind}?_total=accurate&_count=0")["total"] == len(ids)
    references = {"subject", "device", "result", "meta"}  # what the server makes its own
    for resource in (resource for resources in sent for resource in resources if "subject" in resource):
        stored = get(f"{address}/fhir/{resource['resourceType']}/{resource['id']}")
        assert {key: value for key, value in stored.items() if key not in references} == {
            key: value for key, value in resource.items() if key not in references
        }
        patient = get(f"{address}/fhir/{stored['subject']['reference']}")
        expected = next(row for one in sent if resource in one for row in one if row["resourceType"] == "Patient")
        assert patient["identifier"] == expected["identifier"]
    assert get(f"{address}/problems") == []
