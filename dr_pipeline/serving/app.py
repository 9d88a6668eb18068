"""The addresses of the server and what each answers."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import resources
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dr_pipeline import __version__
from dr_pipeline.errors import DrPipelineError
from dr_pipeline.schema import RESEARCH_USE, Status
from dr_pipeline.scoring.prediction_rows import image_ids, make_row
from dr_pipeline.scoring.score import Score
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.serving.api import NOT_DECODED, restore_nulls, score_request, score_responses
from dr_pipeline.serving.metrics import Metrics
from dr_pipeline.serving.reception import RETRY_AFTER_S, Limits, Reception, require_photograph, require_token
from dr_pipeline.serving.refusal import Refusal
from dr_pipeline.tables.predictions import PREDICTIONS

_DEFAULT_NAME = "photograph"
_CLIENT_GONE = 499  # as nginx counts it; nobody receives it
# FastAPI reports requests and faults to OpenTelemetry where the environment configures it.
_NO_TELEMETRY: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass
class Service:
    """What the addresses share.

    Attributes:
        bundle_id: The bundle that scores.
        limits: What is accepted.
        token: Needed by those who send photographs or read metrics; empty: none is.
        score: Begins to score the bytes of one file.
        stop: Called when nothing can be scored any more.
        workers: Processes that score.
        ending: Whether the server is about to end: connections are closed with their answer.
        fault: What ended the scoring.
    """

    bundle_id: str
    limits: Limits
    token: str
    score: Callable[[bytes], Future[Score]]
    stop: Callable[[], None]
    workers: int
    ending: bool = False
    fault: DrPipelineError | None = None
    reception: Reception = field(init=False)
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self.reception = Reception(self.limits)
        self.metrics = Metrics(
            self.bundle_id,
            workers=self.workers,
            accepted=lambda: self.reception.taken,
            held_bytes=lambda: self.reception.held_bytes,
        )

    def row(self, score: Score, name: str) -> dict[str, Any]:
        """The row of one photograph, as `score` writes it."""
        row = make_row(
            Entry(name, ""), score, image_id=next(image_ids(name)), duplicate_of="", bundle_id=self.bundle_id
        )
        return PREDICTIONS.values(row)


def make_app(service: Service) -> FastAPI:
    """The application."""
    # Without FastAPI's own pages of documentation, which load scripts from elsewhere.
    app = FastAPI(
        title="dr-pipeline",
        version=__version__,
        description=f"Grading of diabetic retinopathy from colour fundus photographs. {RESEARCH_USE}",
        docs_url=None,
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
    )
    app.add_middleware(_Answers, service=service)

    @app.exception_handler(Refusal)
    async def refuse(_request: Request, refusal: Refusal) -> Response:
        return JSONResponse(refusal.body(), refusal.status, refusal.headers)

    @app.exception_handler(HTTPException)
    async def no_such_address(_request: Request, error: HTTPException) -> Response:
        body = {"error": str(error.detail), "todo": "see /openapi.json for the addresses of this server"}
        return JSONResponse(body, error.status_code, error.headers)

    @app.post(
        "/v1/score",
        summary="Scores one photograph",
        description=f"The bytes of one file as the body; its row as the answer. Nothing of it is kept. {RESEARCH_USE}",
        responses=score_responses(),
        openapi_extra=score_request(),
        response_class=JSONResponse,
    )
    async def score(request: Request) -> Response:
        started_s = time.perf_counter()
        require_token(request.headers, service.token)
        require_photograph(request.headers, service.limits.max_bytes)
        service.reception.require_place()  # before it is sent in vain
        try:
            async with service.reception.photograph(request.stream()) as data:
                with service.reception.place():
                    result = await _scored(request, service, data)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_GONE)
        service.metrics.rows.labels(result.status.value).inc()
        service.metrics.seconds.observe(time.perf_counter() - started_s)
        row = service.row(result, _file_name(request) or _DEFAULT_NAME)
        if result.status is Status.FAILED:
            return _json(row | {"error": row["reason"], "todo": NOT_DECODED}, HTTPStatus.UNPROCESSABLE_ENTITY)
        return _json(row)

    @app.get("/health", summary="Whether photographs are accepted", responses={503: {"description": "It ends"}})
    async def health() -> Response:
        state = {
            "ready": not service.ending,
            "bundle_id": service.bundle_id,
            "version": __version__,
            "workers": service.workers,
            "accepted": service.reception.taken,
            "research_use": RESEARCH_USE,
        }
        return _json(state, HTTPStatus.SERVICE_UNAVAILABLE if service.ending else HTTPStatus.OK)

    @app.get("/health/live", summary="Whether the server answers at all")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/metrics", summary="Counters, for Prometheus", response_class=Response)
    async def metrics(request: Request) -> Response:
        require_token(request.headers, service.token)
        return Response(service.metrics.text(), media_type=service.metrics.content_type)

    for path, (name, kind) in _PAGE.items():
        app.add_api_route(path, _file(name, kind), include_in_schema=False)
    restore_nulls(app.openapi())
    return app


def _file(name: str, kind: str) -> Callable[[], Coroutine[Any, Any, Response]]:
    """What answers with a file of the page."""
    content = resources.files("dr_pipeline.serving").joinpath("page", name).read_bytes()

    async def answer() -> Response:
        return Response(content, media_type=kind)

    return answer


def _file_name(request: Request) -> str:
    """What X-File-Name states, percent-encoded or as it is, which is UTF-8 by curl; empty where it is not there."""
    text = request.headers.get("x-file-name", "")  # its bytes as Latin-1
    with suppress(UnicodeDecodeError):  # some clients do send Latin-1
        text = text.encode("latin-1").decode("utf-8")
    return unquote(text)


async def _scored(request: Request, service: Service, data: bytes) -> Score:
    """The score of a photograph; one that waits is dropped when its sender has gone."""
    scoring = asyncio.wrap_future(service.score(data))
    # After the body, all that comes is the end of the connection.
    gone: asyncio.Future[Any] = asyncio.ensure_future(request.receive())
    either: list[asyncio.Future[Any]] = [scoring, gone]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not scoring.done():
            raise ClientDisconnect
        return scoring.result()
    except DrPipelineError as error:
        service.fault = service.fault or error
        service.stop()
        raise Refusal(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the server cannot score any more and ends",
            "send the photograph again after the time in Retry-After, when the server was started again",
            {"Retry-After": str(RETRY_AFTER_S)},
        ) from None
    finally:
        scoring.cancel()
        gone.cancel()


def _json(body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    """As `score` writes a row of JSON Lines."""
    return Response(json.dumps(body, ensure_ascii=False), status, media_type="application/json")


class _Answers:
    """Counts the answers, and gives each the headers that all have.

    HEAD is answered as GET is, with the same headers; the connection leaves out the body.
    """

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self._app, self._service = app, service
        self._headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")  # not the path: a stranger's paths would be counters without end
                path = getattr(route, "path", "other")
                self._service.metrics.requests.labels(path, str(message["status"])).inc()
                ending = [(b"connection", b"close")] if self._service.ending else []
                message["headers"] = [*message["headers"], *self._headers, *ending]
            await send(message)

        await self._app(scope, receive, answer)
