"""Types of command-line arguments that several commands share."""

import argparse


def positive_int(text: str) -> int:
    """A whole number from 1.

    Raises:
        argparse.ArgumentTypeError: It is not.
    """
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 is needed, not {text!r}")
    return int(text)


def input_side(text: str) -> int:
    """The side of an input in pixels, with the bounds of `input_px` in params.yaml.

    Raises:
        argparse.ArgumentTypeError: It is not.
    """
    if not text.isascii() or not text.isdigit() or not 32 <= int(text) <= 2048:
        raise argparse.ArgumentTypeError(f"a whole number from 32 to 2048 is needed, not {text!r}")
    return int(text)


def whole_number(text: str) -> int:
    """A whole number from 0.

    Raises:
        argparse.ArgumentTypeError: It is not.
    """
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"a whole number from 0 is needed, not {text!r}")
    return int(text)


def positive_seconds(text: str) -> float:
    """A time above 0, in seconds.

    Raises:
        argparse.ArgumentTypeError: It is not.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of seconds above 0 is needed, not {text!r}")
    return seconds


def positive_ms(text: str) -> float:
    """A time above 0, in milliseconds.

    Raises:
        argparse.ArgumentTypeError: It is not.
    """
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = 0.0
    if not 0 < milliseconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of milliseconds above 0 is needed, not {text!r}")
    return milliseconds


def share(text: str) -> float:
    """A fraction from 0 to 1.

    Raises:
        argparse.ArgumentTypeError: It is not.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"a number from 0 to 1 is needed, not {text!r}")
    return value
