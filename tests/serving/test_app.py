"""The application without a network: what becomes of a request whose sender goes, or whose server cannot score."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from dr_pipeline.errors import BundleError
from dr_pipeline.scoring.score import Score, failed

for package in ("fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason=f"{package}: absent")

from dr_pipeline.serving.app import Service, make_app  # noqa: E402
from dr_pipeline.serving.reception import Limits  # noqa: E402
from dr_pipeline.serving.refusal import Refusal  # noqa: E402


def service(score: Future[Score]) -> tuple[Service, list[str]]:
    stops = list[str]()
    limits = Limits(max_bytes=1000, queue=1, timeout_s=5.0)
    stop = lambda: stops.append("stop")  # noqa: E731
    return Service("b" * 16, limits, "", score=lambda _data: score, stop=stop, workers=1), stops


def post(app: Any, messages: list[dict[str, Any]]) -> tuple[int, Any]:
    """Status and body of a request that consists of these messages."""
    scope = {
        "type": "http", "method": "POST", "path": "/v1/score", "raw_path": b"/v1/score", "query_string": b"",
        "headers": [], "http_version": "1.1", "scheme": "http", "root_path": "", "asgi": {"version": "3.0"},
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def run() -> None:
        waiting: Iterator[dict[str, Any]] = iter(messages)

        async def receive() -> dict[str, Any]:
            message = next(waiting, None)
            return message or await asyncio.Event().wait()  # type: ignore[return-value]

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await app(scope, receive, send)

    asyncio.run(run())
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body) if body else None


PHOTOGRAPH = {"type": "http.request", "body": b"photograph", "more_body": False}
GONE = {"type": "http.disconnect"}


def test_a_photograph_whose_sender_has_gone_is_not_scored() -> None:
    waiting = Future[Score]()
    serving, _ = service(waiting)
    assert post(make_app(serving), [PHOTOGRAPH, GONE]) == (499, None)
    assert waiting.cancelled()
    assert post(make_app(serving), [PHOTOGRAPH | {"more_body": True}, GONE]) == (499, None)
    assert (serving.reception.taken, serving.reception.held_bytes) == (0, 0)


def test_a_bundle_that_was_changed_ends_the_server() -> None:
    changed = Future[Score]()
    changed.set_exception(BundleError("the bundle was changed during the run"))
    serving, stops = service(changed)
    status, answer = post(make_app(serving), [PHOTOGRAPH])
    assert (status, stops) == (503, ["stop"])
    assert set(answer) == {"error", "todo"}
    assert str(serving.fault) == "the bundle was changed during the run"


def test_a_photograph_that_took_too_long_is_a_row_with_the_reason() -> None:
    late = Future[Score]()
    late.set_result(failed("not done within 60 s, the limit for one file"))
    status, row = post(make_app(service(late)[0]), [PHOTOGRAPH])
    assert (status, row["status"]) == (422, "failed")
    assert row["reason"] == row["error"] == "not done within 60 s, the limit for one file"
    assert row["needs_human"] is True


def test_places_are_given_back_whatever_happens() -> None:
    serving, _ = service(Future())
    with pytest.raises(ValueError), serving.reception.place():
        raise ValueError
    with serving.reception.place():
        with pytest.raises(Refusal) as caught, serving.reception.place():
            pass
        assert post(make_app(serving), [PHOTOGRAPH])[0] == 503
    assert caught.value.headers == {"Retry-After": "1"}
    assert serving.reception.taken == 0
