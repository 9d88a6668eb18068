"""Names of the network: application entity titles, and where one listens."""

import re
from dataclasses import dataclass

from dr_pipeline.errors import DataError

# PS3.5, 6.2, value representation AE: up to 16 characters without backslash and control characters.
_TITLE = re.compile(r"[ -\[\]-~]{1,16}")


@dataclass(frozen=True)
class Destination:
    """Where reports are sent: `TITLE@HOST:PORT`."""

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Destination":
        """Raises DataError where the text is no address."""
        title, _, address = text.partition("@")
        host, _, port = address.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
            raise DataError(f"{text!r} is no DICOM address", todo="write AET@HOST:PORT, such as ORTHANC@10.0.0.5:4242")
        return cls(parse_title(title), host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


def parse_title(text: str) -> str:
    """An application entity title; DataError where it is none."""
    title = text.strip()
    if not _TITLE.fullmatch(title):
        raise DataError(f"{text!r} is no AE title", todo="use 1 to 16 characters of ASCII, such as DR_NODE")
    return title
