"""Sends results to a FHIR server: one transaction per examination, a bounded number of tries, no surprise.

A report that somebody has reviewed (its status is no longer preliminary) is never replaced. Redirects are not followed
and no message quotes what a server answers, since both may carry patients' data or the token elsewhere.
"""

import ipaddress
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from dr_pipeline.clinic.fhir.resources import PRELIMINARY, Resource, transaction
from dr_pipeline.errors import DataError, EnvironmentProblem

TOKEN_VARIABLE = "DR_PIPELINE_FHIR_TOKEN"  # noqa: S105 (a name, no token)
_MIME = "application/fhir+json"
_REPLACEABLE = ("registered", "partial", PRELIMINARY)
_TIMEOUT_S = 30.0
_TRIES = 4
_FIRST_WAIT_S = 0.5
_MAX_WAIT_S = 30.0
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_MAX_ANSWER_BYTES = 16 << 20


class Sent(StrEnum):
    """What became of an examination."""

    STORED = "stored"
    REVIEWED = "left as reviewed"
    REFUSED = "refused"


@dataclass(frozen=True)
class _Answer:
    status: int
    body: Any


class FhirServer:
    """A FHIR R4 server.

    Args:
        url: Its base, such as https://fhir.example.org/r4.
        token: Sent as a bearer token; empty: none.
        sleep: Waits so many seconds between two tries.

    Raises:
        DataError: The URL is no http or https address, holds a password, or a token would go out unencrypted.
    """

    def __init__(self, url: str, *, token: str = "", sleep: Callable[[float], None] = time.sleep) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DataError("the FHIR server's address is not an http or https URL", where="--fhir-server")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise DataError(
                "the FHIR server's address holds more than a host and a path",
                where="--fhir-server",
                todo=f"put a token into the environment variable {TOKEN_VARIABLE}",
            )
        self.is_encrypted = parts.scheme == "https" or _is_loopback(parts.hostname)
        if token and not self.is_encrypted:
            raise DataError(
                "a token is not sent over an unencrypted connection", where="--fhir-server", todo="use an https address"
            )
        if not token.isprintable() or not token.isascii():
            raise DataError("the token is not plain text", where=TOKEN_VARIABLE, todo="set it again, without line ends")
        self._base, self._sleep = url.rstrip("/"), sleep
        self._headers = {"Accept": _MIME, "Content-Type": _MIME}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if _is_loopback(parts.hostname):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def send(self, examinations: Iterable[Sequence[Resource]]) -> dict[Sent, int]:
        """Sends examinations and counts what became of them; sending them again changes nothing.

        Raises:
            EnvironmentProblem: The server cannot be reached, is busy for too long, or does not accept the token.
        """
        counts = dict.fromkeys(Sent, 0)
        for resources in examinations:
            counts[self._send_one(resources)] += 1
        return counts

    def _send_one(self, resources: Sequence[Resource]) -> Sent:
        report = next(resource for resource in resources if resource["resourceType"] == "DiagnosticReport")
        stored = self._request("GET", f"/DiagnosticReport/{report['id']}")
        if stored.status == HTTPStatus.OK and _status(stored.body) not in _REPLACEABLE:
            return Sent.REVIEWED
        bundle = transaction(resources)
        answer = self._request("POST", "", json.dumps(bundle, ensure_ascii=False).encode())
        return Sent.STORED if _is_stored(answer, len(bundle["entry"])) else Sent.REFUSED

    def _request(self, method: str, path: str, data: bytes | None = None) -> _Answer:
        """One request, tried again where the server is busy or out of reach."""
        wait_s, problem = _FIRST_WAIT_S, ""
        for left in reversed(range(_TRIES)):
            asked_s = 0.0
            try:
                # Only http and https: the constructor checks it.
                request = urllib.request.Request(self._base + path, data, self._headers, method=method)  # noqa: S310
                with self._opener.open(request, timeout=_TIMEOUT_S) as response:
                    return _Answer(response.status, _parsed(response.read(_MAX_ANSWER_BYTES)))
            except urllib.error.HTTPError as error:
                with error:
                    if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                        raise EnvironmentProblem(
                            f"the FHIR server refuses access (HTTP {error.code})",
                            todo=f"set {TOKEN_VARIABLE} to a token that may write Patient, Device, Observation and "
                            "DiagnosticReport",
                        ) from None
                    if error.code not in _BUSY:
                        return _Answer(error.code, None)
                    problem, asked_s = f"HTTP {error.code}", _seconds(error.headers.get("Retry-After", ""))
            except (OSError, ValueError) as error:  # no connection, a time-out, an answer that is no HTTP
                problem = type(error).__name__
            if left:
                self._sleep(min(max(wait_s, asked_s), _MAX_WAIT_S))
                wait_s *= 2
        raise EnvironmentProblem(
            f"the FHIR server did not answer in {_TRIES} tries ({problem})",
            todo="check the address and the server, then run the same command again: what is stored stays",
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Turns a redirect into an error: a POST would become a GET, and the token would go to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _status(body: Any) -> str:
    return str(body.get("status", "")) if isinstance(body, dict) else ""


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _is_stored(answer: _Answer, num_entries: int) -> bool:
    """Whether each entry of the answer to a transaction has a status of success."""
    if answer.status not in (HTTPStatus.OK, HTTPStatus.CREATED) or not isinstance(answer.body, dict):
        return False
    entries = answer.body.get("entry", [])
    statuses = [str(entry.get("response", {}).get("status", "")) for entry in entries]
    return len(statuses) == num_entries and all(status.startswith("2") for status in statuses)
