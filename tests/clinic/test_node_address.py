import argparse

import pytest

from dr_pipeline.clinic.node.address import Destination, parse_title
from dr_pipeline.clinic.node.sender import wait_s
from dr_pipeline.commands import listen
from dr_pipeline.errors import DataError


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("PACS@10.0.0.5:4242", ("PACS", "10.0.0.5", 4242)),
        ("MY PACS@pacs.clinic:104", ("MY PACS", "pacs.clinic", 104)),
        ("PACS@[::1]:104", ("PACS", "::1", 104)),
    ],
)
def test_a_destination(text: str, parsed: tuple[str, str, int]) -> None:
    destination = Destination.parse(text)
    assert (destination.title, destination.host, destination.port) == parsed


@pytest.mark.parametrize(
    "text", ["", "PACS", "PACS@host", "PACS@host:0", "PACS@host:99999", "@h:1", "P@:1", "X" * 17 + "@h:1"]
)
def test_no_destination(text: str) -> None:
    with pytest.raises(DataError, match="is no"):
        Destination.parse(text)


@pytest.mark.parametrize("title", ["", " ", "A\\B", "A\nB", "X" * 17, "ÄÖ"])
def test_no_title(title: str) -> None:
    with pytest.raises(DataError, match="AE title"):
        parse_title(title)


def test_attempts_become_rarer() -> None:
    waits = [wait_s(attempts) for attempts in range(40)]
    assert waits == sorted(waits)
    assert (waits[0], waits[1], waits[-1]) == (1.0, 2.0, 300.0)


@pytest.mark.parametrize("words", [["--tls-cert", "a"], ["--tls-key", "a"], ["--tls-ca", "a"], ["--send-tls"]])
def test_tls_needs_certificate_and_key(words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    listen.add_arguments(parser)
    base = ["--aet", "A", "--port", "0", "--allow", "B", "--bundle", "b", "--queue", "q", "--send-to", "P@h:1"]
    with pytest.raises(DataError, match="certificate"):
        listen.run(parser.parse_args([*base, *words]))
