"""Asserts that a bad file is refused with its reason, and in time."""

import time

import pytest

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode


def assert_refused(data: bytes, reason: str, *, within_s: float | None = None) -> None:
    """Decodes the file at 64 px, which must fail.

    Args:
        data: The file.
        reason: Pattern that the message must match.
        within_s: Time that this may take at most; None where it does not matter.
    """
    start = time.perf_counter()
    with pytest.raises(ImageError, match=reason):
        decode(data, 64)
    assert within_s is None or time.perf_counter() - start < within_s
