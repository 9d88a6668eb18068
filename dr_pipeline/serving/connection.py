"""Connections as uvicorn has them, with limits where it has none, and an end that loses no request."""

import asyncio
import ssl
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

# Written where no request has come that the application could answer; it ends with the connection.
_SLOW_HEAD = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    b'{"error": "the request came too slowly", "todo": "send it over a faster connection"}'
)
# After a SIGTERM, how long a connection without a request stays open: one that is on its way is answered.
_LAST_REQUESTS_S = 1.0
_DROP_S = 30.0
_GOODBYE_S = 1.0
_HANDSHAKE_S = 5.0


class Connection(H11Protocol):
    """Ends itself where the head of a request takes too long; uvicorn limits the time between two requests only.

    The rest of a refused body is received and dropped for half a minute: a sender that writes it all before it reads
    would otherwise see a broken connection instead of the answer. Where there are too many connections, the oldest that
    the server waits for is ended: slow senders do not keep others from connecting.

    Args:
        timeout_s: For the head of a request.
        most: Connections at a time.
        opened: All that are open, oldest first.
        uvicorns: See `H11Protocol`.
    """

    def __init__(self, *, timeout_s: float, most: int, opened: "dict[Connection, None]", **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._timeout_s, self._most, self._opened = timeout_s, most, opened
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called with a new connection."""
        super().connection_made(transport)
        self._opened[self] = None
        if len(self._opened) > self._most:
            next((other for other in self._opened if other._is_waited_for()), self).transport.abort()
        self._close_in(self._timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the connection has ended."""
        super().connection_lost(exc)
        self._opened.pop(self, None)
        if self._limit:
            self._limit.cancel()

    def on_response_complete(self) -> None:
        """Called when an answer is written."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_soon()
        self._close_in(self._timeout_s if self.conn.their_state is h11.IDLE else _DROP_S)

    def shutdown(self) -> None:
        """Called when the server ends."""
        if self._is_in_work():
            super().shutdown()
        else:
            self._close_in(_LAST_REQUESTS_S)

    def _close_in(self, seconds: float) -> None:
        if self._limit:
            self._limit.cancel()
        self._limit = self.loop.call_later(seconds, self._close_unless_in_work)

    def _close_unless_in_work(self) -> None:
        if self._is_in_work():
            return
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self.transport.write(_SLOW_HEAD)
        self.transport.close()
        self._abort_soon()

    def _abort_soon(self) -> None:
        """Ends a connection over TLS whose peer does not say goodbye, for which asyncio waits half a minute."""
        self.loop.call_later(_GOODBYE_S, self.transport.abort)

    def _is_waited_for(self) -> bool:
        """Whether it is the sender's turn: to begin a request, or to send the rest of one."""
        waits = not self._is_in_work() or self.conn.their_state is h11.SEND_BODY
        return waits and not self.transport.is_closing()

    def _is_in_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete


class Server(uvicorn.Server):
    """uvicorn's server, which at its end also takes the connections that the system has accepted for it."""

    async def shutdown(self, sockets: Any = None) -> None:
        """Stops listening, and returns when all that was accepted has its answer."""
        late = [connection for listener in sockets for connection in _waiting(listener)]
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for connection in late:
            try:
                await loop.connect_accepted_socket(
                    self._protocol, connection, ssl=self.config.ssl, ssl_handshake_timeout=self._handshake_s()
                )
            except (OSError, ssl.SSLError):  # it was closed, or speaks no TLS
                connection.close()
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(config=self.config, server_state=self.server_state, app_state={})
        return protocol

    def _handshake_s(self) -> float | None:
        return _HANDSHAKE_S if self.config.ssl else None  # asyncio refuses it without TLS


def _waiting(listener: Any) -> list[Any]:
    """The connections that wait to be accepted; the listener does not block."""
    connections = []
    while True:
        try:
            connections.append(listener.accept()[0])
        except OSError:  # BlockingIOError: there is none
            return connections
