"""What is accepted: who may send, what, how large, how slowly, and how many at a time."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from dr_pipeline.serving.refusal import Refusal

RETRY_AFTER_S = 1
# `curl --data-binary` states the last one unless a header states another. The bytes decide what a photograph is.
_TYPES = ("application/dicom", "application/octet-stream", "application/x-www-form-urlencoded")
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What the server accepts.

    Attributes:
        max_bytes: Of one photograph.
        queue: Photographs that are received, wait or are scored, at a time.
        timeout_s: For one photograph to arrive.
    """

    max_bytes: int
    queue: int
    timeout_s: float


class Places:
    """The places for photographs that are accepted at a time: they bound the memory and the wait.

    Args:
        number: How many there are.
    """

    def __init__(self, number: int) -> None:
        self._number, self.taken = number, 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Holds one place; raises Refusal where none is free."""
        if self.taken >= self._number:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the queue is full: {self._number} photographs",
                "send the photograph again after the time in Retry-After",
                {"Retry-After": str(RETRY_AFTER_S)},
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


def require_token(headers: Mapping[str, str], token: str) -> None:
    """Raises Refusal where a token is needed and is not in the request."""
    given = headers.get("authorization", "").encode()
    if token and not hmac.compare_digest(given, f"Bearer {token}".encode()):
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


async def read_body(chunks: AsyncIterator[bytes], limits: Limits) -> bytes:
    """Receives a photograph.

    Raises:
        Refusal: It is larger than the limit, or takes longer.
    """
    pieces, size = list[bytes](), 0
    try:
        async with asyncio.timeout(limits.timeout_s):
            async for piece in chunks:
                size += len(piece)
                if size > limits.max_bytes:
                    raise _too_large(limits.max_bytes)
                pieces.append(piece)
    except TimeoutError:
        raise Refusal(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the photograph did not arrive within {limits.timeout_s:g} s",
            "send it again over a faster connection",
            {"Connection": "close"},
        ) from None
    return b"".join(pieces)


def _too_large(max_bytes: int) -> Refusal:
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the photograph is larger than {max_bytes / _MEGABYTE:g} MB",
        "export it as JPEG or PNG, or score it on the server's machine with `dr-pipeline score`",
    )
