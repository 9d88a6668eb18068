"""Types of command-line arguments that several commands share: each raises argparse.ArgumentTypeError."""

import argparse
import math


def positive_int(text: str) -> int:
    """A whole number from 1."""
    return _whole_number(text, "a whole number from 1", low=1)


def input_side(text: str) -> int:
    """The side of an input in pixels, with the bounds of `input_px` in params.yaml."""
    return _whole_number(text, "a whole number from 32 to 2048", low=32, high=2048)


def whole_number(text: str) -> int:
    """A whole number from 0."""
    return _whole_number(text, "a whole number from 0")


def port(text: str) -> int:
    """A TCP port; 0 stands for a free one."""
    return _whole_number(text, "a port from 0 to 65535", high=65535)


def price(text: str) -> float:
    """A price from 0."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"a price from 0 is needed, not {text!r}")
    return value


def positive_seconds(text: str) -> float:
    """A time above 0, in seconds."""
    return _positive_number(text, "a number of seconds above 0")


def positive_ms(text: str) -> float:
    """A time above 0, in milliseconds."""
    return _positive_number(text, "a number of milliseconds above 0")


def share(text: str) -> float:
    """A fraction from 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"a number from 0 to 1 is needed, not {text!r}")
    return value


def inner_fraction(text: str) -> float:
    """A fraction above 0 and below 1."""
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"a number between 0 and 1 is needed, not {text!r}")
    return value


def _whole_number(text: str, needed: str, *, low: int = 0, high: float = math.inf) -> int:
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"{needed} is needed, not {text!r}")
    return int(text)


def _positive_number(text: str, needed: str) -> float:
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{needed} is needed, not {text!r}")
    return value


def _number(text: str) -> float:
    """The number; nan, which no bound lets through, where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
