"""A FHIR server on the loopback: transactions with conditional creates, reads, and answers that a test prescribes."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from fhir.resources.R4B import get_fhir_model_class


@dataclass
class FhirStore:
    """What the server holds and what was exchanged.

    Attributes:
        url: Its base.
        resources: By `Type/id`.
        exchange: (method, path, headers, status) of each request.
        answers: Status codes, or (status, headers), that the next requests get instead of what they ask for.
    """

    url: str = ""
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    exchange: list[tuple[str, str, dict[str, str], int]] = field(default_factory=list)
    answers: list[int | tuple[int, dict[str, str]]] = field(default_factory=list)

    def transact(self, bundle: dict[str, Any]) -> dict[str, Any]:
        """Stores a Bundle wholly; raises ValueError where an entry breaks FHIR's models or refers to nothing."""
        get_fhir_model_class("Bundle").model_validate(bundle)
        places, statuses = {}, []
        for entry in bundle["entry"]:
            request = entry["request"]
            known = self._find(request["ifNoneExist"]) if "ifNoneExist" in request else ""
            place = known or (request["url"] if request["method"] == "PUT" else f"Patient/server-{len(self.resources)}")
            statuses.append("200 OK" if place in self.resources else "201 Created")
            places[entry["fullUrl"]] = place
        stored = {}
        for entry in bundle["entry"]:
            text = json.dumps(entry["resource"])
            for full_url, place in places.items():
                text = text.replace(f'"reference": "{full_url}"', f'"reference": "{place}"')
            place = places[entry["fullUrl"]]
            if not (place in self.resources and entry["request"]["method"] == "POST"):
                stored[place] = json.loads(text) | {"id": place.partition("/")[2]}
                get_fhir_model_class(entry["resource"]["resourceType"]).model_validate(stored[place])
        for reference in _references(list(stored.values())):
            if reference not in self.resources and reference not in stored:
                raise ValueError(f"a reference to nothing: {reference}")
        self.resources |= stored
        entries = [{"response": {"status": status}} for status in statuses]
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}

    def _find(self, query: str) -> str:
        parts = re.split(r"(?<!\\)\|", parse_qs(query)["identifier"][0])  # at a sign that is not escaped
        system, value = (re.sub(r"\\(.)", r"\1", part) for part in parts)
        wanted = {"value": value} | ({"system": system} if system else {})
        return next(
            (p for p, r in self.resources.items() if r["resourceType"] == "Patient" and wanted in r["identifier"]), ""
        )


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


@contextmanager
def fhir_server() -> Iterator[FhirStore]:
    """Runs the server."""
    store = FhirStore()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = store.resources.get(self.path.removeprefix("/fhir/"))
            self._answer(200 if found else 404, found)

        def do_POST(self) -> None:
            bundle = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if store.answers:
                self._answer(500, None)
                return
            try:
                self._answer(200, store.transact(bundle))
            except ValueError:
                self._answer(422, {"resourceType": "OperationOutcome", "text": json.dumps(bundle)})

        def _answer(self, status: int, body: Any) -> None:
            planned = store.answers.pop(0) if store.answers else status
            status, headers = planned if isinstance(planned, tuple) else (planned, {})
            data = json.dumps(body).encode()
            store.exchange.append((self.command, self.path, dict(self.headers), status))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Is silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.url = f"http://127.0.0.1:{server.server_port}/fhir"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
