"""What the types of arguments let through, and what they answer otherwise."""

import argparse

import pytest

from dr_pipeline.commands.argument_types import port, price


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("8000", 8000), ("65535", 65535)])
def test_a_port(text: str, value: int) -> None:
    assert port(text) == value


@pytest.mark.parametrize("text", ["65536", "99999", "22222222222222222222", "-1", "8e3", "", "٣"])
def test_no_port(text: str) -> None:
    """The system takes 99999 for 34463."""
    with pytest.raises(argparse.ArgumentTypeError, match="a port from 0 to 65535 is needed"):
        port(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("0.48", 0.48)])
def test_a_price(text: str, value: float) -> None:
    assert price(text) == value


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1,5", ""])
def test_no_price(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a price from 0 is needed"):
        price(text)
