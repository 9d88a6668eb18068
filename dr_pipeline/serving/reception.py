"""What is accepted: who may send, what, how large, how slowly, and how many at a time."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from dr_pipeline.serving.refusal import Refusal

RETRY_AFTER_S = 1
# `curl --data-binary` states the last one unless a header states another. The bytes decide what a photograph is.
_TYPES = ("application/dicom", "application/octet-stream", "application/x-www-form-urlencoded")
_MEGABYTE = 1_000_000
_GRACE_S = 1.0  # so long nobody who sends has to go for another


@dataclass(frozen=True)
class Limits:
    """What the server accepts.

    Attributes:
        max_bytes: Of one photograph.
        queue: Photographs that wait or are scored, at a time. As many of `max_bytes` are the memory for photographs,
            those that arrive included.
        timeout_s: For one photograph to arrive.
    """

    max_bytes: int
    queue: int
    timeout_s: float


class Reception:
    """The photographs in memory: those that arrive, and those that wait or are scored, which have a place each.

    Who sends has no place, so that slow senders keep nobody out. They hold memory for what they have sent; where it is
    full, the one that has been sending for the longest time is refused for the others.

    Args:
        limits: What the server accepts.

    Attributes:
        taken: Places that are taken.
        held_bytes: Of all photographs in memory.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits, self.taken, self.held_bytes = limits, 0, 0
        self._sending: dict[asyncio.Timeout, float] = {}  # the time of each sender's end → of its begin, oldest first

    def require_place(self) -> None:
        """Raises Refusal where no place is free."""
        if self.taken >= self._limits.queue:
            raise _full(f"the queue is full: {self._limits.queue} photographs")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Holds one place; raises Refusal where none is free."""
        self.require_place()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    @asynccontextmanager
    async def photograph(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Receives a photograph, which the block has.

        Raises:
            Refusal: It is larger than the limit, or takes longer; or the memory is full.
        """
        pieces, size = list[bytes](), 0
        try:
            with self._sender() as deadline:
                async with deadline:
                    async for piece in chunks:
                        if size + len(piece) > self._limits.max_bytes:
                            raise _too_large(self._limits.max_bytes)
                        self._make_room(len(piece), deadline)
                        self.held_bytes += len(piece)
                        size += len(piece)
                        pieces.append(piece)
            yield b"".join(pieces)
        finally:
            self.held_bytes -= size

    @contextmanager
    def _sender(self) -> Iterator[asyncio.Timeout]:
        """One more who sends, until the time is up."""
        deadline = asyncio.timeout(self._limits.timeout_s)
        self._sending[deadline] = asyncio.get_running_loop().time()
        try:
            yield deadline
        except TimeoutError:
            raise Refusal(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the photograph did not arrive within {self._limits.timeout_s:g} s, or kept others waiting",
                "send it again over a faster connection",
                {"Connection": "close"},
            ) from None
        finally:
            del self._sending[deadline]

    def _make_room(self, size: int, own: asyncio.Timeout) -> None:
        """Where the memory is full: ends the time of whoever has been sending longest, or refuses this one."""
        if self.held_bytes + size <= self._limits.queue * self._limits.max_bytes:
            return
        now = asyncio.get_running_loop().time()
        for deadline, since in self._sending.items():
            if deadline is own or now - since < _GRACE_S:
                break
            if (deadline.when() or now) > now:
                deadline.reschedule(now)
            return  # its memory is free in a moment
        raise _full("the memory for photographs is full")


def require_token(headers: Mapping[str, str], token: str) -> None:
    """Raises Refusal where a token is needed and is not in the request."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if token and not (scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())):
        raise Refusal(
            HTTPStatus.UNAUTHORIZED,
            "the token is missing or wrong",
            "send the header 'Authorization: Bearer TOKEN' with the token of this server",
            {"WWW-Authenticate": "Bearer"},
        )


def require_photograph(headers: Mapping[str, str], max_bytes: int) -> None:
    """Raises Refusal where the headers state something else than a photograph within the limit."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and not kind.startswith("image/") and kind not in _TYPES:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body is {kind}, not a photograph",
            "send the file's bytes as the body, with Content-Type image/jpeg, application/dicom or "
            "application/octet-stream: curl --data-binary @photograph.jpg",
        )
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body is compressed",
            "send the file's bytes without Content-Encoding",
        )
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise _too_large(max_bytes)


def _full(what: str) -> Refusal:
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        what,
        "send the photograph again after the time in Retry-After",
        {"Retry-After": str(RETRY_AFTER_S)},
    )


def _too_large(max_bytes: int) -> Refusal:
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the photograph is larger than {max_bytes / _MEGABYTE:g} MB",
        "export it as JPEG or PNG, or score it on the server's machine with `dr-pipeline score`",
    )
