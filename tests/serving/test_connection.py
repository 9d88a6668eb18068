"""Too many connections: the oldest that the server waits for goes, and never one whose photograph is scored."""

import asyncio
from typing import Any

import pytest

for package in ("fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason=f"{package}: absent")

import uvicorn  # noqa: E402
from uvicorn.server import ServerState  # noqa: E402

from dr_pipeline.serving.connection import Connection  # noqa: E402
from dr_pipeline.serving.server import most_connections  # noqa: E402

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"


async def closed(reader: asyncio.StreamReader) -> bool:
    """Whether the server has ended the connection, or does soon."""
    try:
        async with asyncio.timeout(0.5):
            return await reader.read(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_the_oldest_that_is_waited_for_is_ended() -> None:
    async def run() -> None:
        whole, release = asyncio.Event(), asyncio.Event()

        async def app(_scope: Any, receive: Any, send: Any) -> None:
            while (await receive()).get("more_body"):
                pass
            whole.set()
            await release.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
        config.load()
        state, opened = ServerState(), dict[Connection, None]()

        def connect() -> Connection:
            return Connection(config=config, server_state=state, app_state={}, timeout_s=30.0, most=3, opened=opened)

        async with await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0) as server:
            address = server.sockets[0].getsockname()

            writers = []  # one that is forgotten ends its connection

            async def opening(data: bytes) -> asyncio.StreamReader:
                reader, writer = await asyncio.open_connection(*address)
                writers.append(writer)
                writer.write(data)
                await asyncio.sleep(0.05)
                return reader

            scored = await opening(HEAD + b"body")
            await whole.wait()
            silent = await opening(b"")
            slow = await opening(HEAD + b"bo")
            first = await opening(b"")  # the fourth: the silent one goes
            assert await closed(silent)
            second = await opening(HEAD + b"bo")  # the slow body goes
            assert await closed(slow)
            assert not await closed(first)
            release.set()
            assert await scored.readline() == b"HTTP/1.1 200 OK\r\n"
            assert not await closed(second)
            assert len(opened) == 3
            for connection in list(opened):
                connection.transport.abort()

    asyncio.run(run())


def test_the_limit_follows_that_of_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource", reason="resource: absent")
    for soft, most in ((256, 128), (1024, 512), (1_000_000, 1000), (resource.RLIM_INFINITY, 1000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _kind, soft=soft: (soft, soft))
        assert most_connections() == most
