"""Sends to a FHIR server on the loopback: stored once, retried within bounds, nothing private in messages."""

import json
from collections.abc import Iterator

import pytest

from dr_pipeline.clinic.fhir.resources import Resource
from dr_pipeline.clinic.fhir.server import FhirServer, Sent
from dr_pipeline.errors import DataError, EnvironmentProblem
from tests.clinic.fhir.test_resources import resources_of
from tests.factories.fhir_server import FhirStore, fhir_server

SECRET = "t0p-s3cret"  # noqa: S105


@pytest.fixture
def store() -> Iterator[FhirStore]:
    with fhir_server() as store:
        yield store


@pytest.fixture
def examinations() -> list[list[Resource]]:
    return resources_of(
        ("Maria|Secret", "2024-01-31", "R2 L0"), ("Q", "", "Ru"), ("Q", "2", "?0"), patient_system="urn:x"
    )


def quick(url: str, *, waits: list[float] | None = None, token: str = "") -> FhirServer:
    return FhirServer(url, token=token, sleep=(waits if waits is not None else []).append)


def test_a_round_trip_stores_each_resource_once(store: FhirStore, examinations: list[list[Resource]]) -> None:
    assert quick(store.url).send(examinations) == {Sent.STORED: 3, Sent.REVIEWED: 0, Sent.REFUSED: 0}
    first = json.dumps(store.resources, sort_keys=True)
    assert quick(store.url).send(examinations)[Sent.STORED] == 3
    assert json.dumps(store.resources, sort_keys=True) == first  # the same command again changes nothing
    kinds = [resource["resourceType"] for resource in store.resources.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "Patient": 2,
        "Device": 1,
        "Observation": 4,
        "DiagnosticReport": 3,
    }
    sent = {resource["id"]: resource for one in examinations for resource in one}
    for place, resource in store.resources.items():
        if resource["resourceType"] != "Patient":
            without = {"subject", "device", "result"}  # references, which the server made its own
            assert {k: v for k, v in resource.items() if k not in without} == {
                k: v for k, v in sent[place.partition("/")[2]].items() if k not in without
            }


def test_a_patient_whom_the_server_knows_stays(store: FhirStore, examinations: list[list[Resource]]) -> None:
    known = {"resourceType": "Patient", "id": "42", "identifier": [{"system": "urn:x", "value": "Maria|Secret"}]}
    store.resources["Patient/42"] = known | {"name": [{"family": "Secret"}]}
    quick(store.url).send(examinations[:1])
    assert store.resources["Patient/42"]["name"] == [{"family": "Secret"}]
    subjects = {r["subject"]["reference"] for r in store.resources.values() if "subject" in r}
    assert subjects == {"Patient/42"}


def test_a_reviewed_report_is_never_replaced(store: FhirStore, examinations: list[list[Resource]]) -> None:
    quick(store.url).send(examinations)
    report = examinations[0][-1]
    store.resources[f"DiagnosticReport/{report['id']}"] |= {"status": "final", "conclusion": "seen by a person"}
    assert quick(store.url).send(examinations) == {Sent.STORED: 2, Sent.REVIEWED: 1, Sent.REFUSED: 0}
    assert store.resources[f"DiagnosticReport/{report['id']}"]["conclusion"] == "seen by a person"


def test_a_busy_server_is_tried_again_with_longer_waits(store: FhirStore, examinations: list[list[Resource]]) -> None:
    waits: list[float] = []
    store.answers = [404, 503, (429, {"Retry-After": "7"}), 502]
    assert quick(store.url, waits=waits).send(examinations[:1])[Sent.STORED] == 1
    assert waits == [0.5, 7.0, 2.0]


def test_a_server_that_stays_busy_ends_the_run(store: FhirStore, examinations: list[list[Resource]]) -> None:
    store.answers = [503] * 9
    waits: list[float] = []
    with pytest.raises(EnvironmentProblem, match=r"did not answer in 4 tries \(HTTP 503\)"):
        quick(store.url, waits=waits).send(examinations)
    assert len(waits) == 3


def test_a_server_that_is_not_there_ends_the_run(examinations: list[list[Resource]]) -> None:
    with fhir_server() as store:
        url = store.url
    with pytest.raises(EnvironmentProblem, match="did not answer in 4 tries"):
        quick(url).send(examinations)


@pytest.mark.parametrize("status", [400, 404, 422, 307])
def test_what_the_server_refuses_is_counted_and_the_rest_is_sent(
    store: FhirStore, examinations: list[list[Resource]], status: int
) -> None:
    store.answers = [404, (status, {"Location": "http://127.0.0.1:9/elsewhere"})]
    assert quick(store.url).send(examinations) == {Sent.STORED: 2, Sent.REVIEWED: 0, Sent.REFUSED: 1}


def test_the_token_is_sent_and_stands_in_no_message(store: FhirStore, examinations: list[list[Resource]]) -> None:
    quick(store.url, token=SECRET).send(examinations[:1])
    assert {headers["Authorization"] for *_, headers, _ in store.exchange} == {f"Bearer {SECRET}"}
    store.answers = [401]
    with pytest.raises(EnvironmentProblem) as caught:
        quick(store.url, token=SECRET).send(examinations)
    assert "HTTP 401" in str(caught.value)
    for private in (SECRET, "Maria"):
        assert private not in str(caught.value)


def test_no_patient_stands_in_an_address(store: FhirStore, examinations: list[list[Resource]]) -> None:
    quick(store.url).send(examinations)
    assert {path.rpartition("/")[0] for _, path, _, _ in store.exchange} <= {"", "/fhir/DiagnosticReport"}


@pytest.mark.parametrize(
    ("url", "token", "message"),
    [
        ("ftp://fhir.example.org", "", "not an http or https URL"),
        ("fhir.example.org/r4", "", "not an http or https URL"),
        ("https://user:pw@fhir.example.org", "", "more than a host and a path"),
        ("https://fhir.example.org/?token=x", "", "more than a host and a path"),
        ("http://fhir.example.org", SECRET, "not sent over an unencrypted connection"),
        ("https://fhir.example.org", "a\nb", "not plain text"),
    ],
)
def test_an_address_or_token_that_is_unsafe_is_refused(url: str, token: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        FhirServer(url, token=token)
    assert SECRET not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_encryption_is_known() -> None:
    urls = {"https://x.org": True, "http://x.org": False, "http://localhost:8080/fhir": True, "http://[::1]/fhir": True}
    assert {url: FhirServer(url).is_encrypted for url in urls} == urls
