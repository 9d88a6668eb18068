"""Runs the server: workers first, then the address, until a signal; what was accepted is answered before the end."""

import logging
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from dr_pipeline.bundle.signature import trusted_identity
from dr_pipeline.errors import DataError, EnvironmentProblem
from dr_pipeline.logs import logger
from dr_pipeline.scoring.task import PhotographTask, ScoringTask
from dr_pipeline.serving.app import Service, make_app
from dr_pipeline.serving.connection import Connection, Server
from dr_pipeline.serving.pool import ScoringPool
from dr_pipeline.serving.reception import Limits

_MIN_TOKEN = 16
_MOST_CONNECTIONS = 1000


@dataclass(frozen=True)
class ServerSettings:
    """What a server is started with.

    Attributes:
        bundle: The bundle.
        keys: Trusted public keys, one of which must have signed the bundle; None: no signature is asked for.
        host: Interface to listen on.
        port: To listen on; 0: a free one.
        site: Of the photographs; empty where unknown.
        workers: Processes that score.
        time_limit_s: To score one photograph.
        limits: What is accepted.
        token: Needed by those who send photographs; empty: none is.
        tls: None: without TLS.
    """

    bundle: Path
    keys: Path | None
    host: str
    port: int
    site: str
    workers: int
    time_limit_s: float
    limits: Limits
    token: str
    tls: ssl.SSLContext | None


def run_server(settings: ServerSettings, *, started: Callable[[str, str], None]) -> dict[str, int]:
    """Answers requests until SIGTERM or Ctrl-C.

    Args:
        settings: See there.
        started: Called with the server's address and the bundle's id when photographs are accepted.

    Returns:
        The number of rows of each status.

    Raises:
        BundleError: The bundle is damaged, not signed by a trusted key, or was changed while the server ran.
        DataError: No threshold was fitted for the site; a key cannot be read.
        EnvironmentProblem: The address cannot be used; workers do not start.
    """
    listener = _bind(settings.host, settings.port)
    bundle_id = trusted_identity(settings.bundle, settings.keys).bundle_id
    bundle = settings.bundle.absolute()
    task = PhotographTask(ScoringTask(bundle, bundle_id, settings.site, places=(bundle,)))
    with listener, ScoringPool(task, workers=settings.workers, time_limit_s=settings.time_limit_s) as pool:
        service = Service(
            bundle_id=bundle_id,
            limits=settings.limits,
            token=settings.token,
            score=pool.score,
            stop=lambda: signal.raise_signal(signal.SIGTERM),
            workers=settings.workers,
        )
        _serve(service, listener, settings, started)
    if service.fault:
        raise service.fault
    return service.metrics.rows_by_status()


def _serve(
    service: Service, listener: socket.socket, settings: ServerSettings, started: Callable[[str, str], None]
) -> None:
    class Ending(Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            started(_address(listener, settings), service.bundle_id)

        async def shutdown(self, sockets: Any = None) -> None:
            service.ending = True
            await super().shutdown(sockets)

    config = uvicorn.Config(
        make_app(service),
        http=partial(Connection, timeout_s=settings.limits.timeout_s, most=most_connections(), opened={}),  # type: ignore[arg-type]
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,  # a request's line could hold a name
        proxy_headers=False,
        server_header=False,
        ssl_context_factory=(lambda _config, _default: settings.tls) if settings.tls else None,  # type: ignore[arg-type, return-value]
    )
    _show_faults()
    # uvicorn raises the signal that ended it once more when it is done: nothing is left to be ended by it.
    earlier = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        Ending(config).run(sockets=[listener])
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _bind(host: str, port: int) -> socket.socket:
    """A socket at the address that does not listen yet: until the workers are ready, connections are refused."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # means theft on Windows
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.setblocking(False)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no address can have
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise EnvironmentProblem(
            f"cannot listen on {host!r}, port {port}: {reason}",
            todo="choose another --host or --port, or stop the program that uses it",
        ) from None
    return listener


def most_connections() -> int:
    """Connections at a time: half of the files that this process may open, which sockets are too."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return _MOST_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, soft // 2)


def _address(listener: socket.socket, settings: ServerSettings) -> str:
    host, port = listener.getsockname()[:2]
    return f"{'https' if settings.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _show_faults() -> None:
    """Shows uvicorn's warnings and errors as this program's own."""
    uvicorns = logging.getLogger("uvicorn")
    uvicorns.setLevel(logging.WARNING)
    uvicorns.handlers = logger.handlers
    uvicorns.propagate = logger.propagate


def read_token(path: Path | None) -> str:
    """The token in a file; empty where no file is named.

    Raises:
        DataError: The file cannot be read, or holds no token.
    """
    if path is None:
        return ""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise DataError(f"the token cannot be read: {reason}", where=str(path), todo="name a readable file") from None
    if len(token) < _MIN_TOKEN or not token.isprintable() or " " in token:
        raise DataError(
            f"no token of at least {_MIN_TOKEN} characters without blanks is in the file",
            where=str(path),
            todo="make one: python -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    return token
