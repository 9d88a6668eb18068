"""TLS for associations (PS3.15, B.12: the profile BCP 195, TLS 1.2 or later)."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError


@dataclass(frozen=True)
class TlsFiles:
    """Files in PEM.

    Attributes:
        cert: The node's certificate, with those that lead to the authority.
        key: Its private key.
        ca: Certificates of the authorities whose peers are trusted; None: senders need no certificate, and the
            destination is checked against the system's authorities.
    """

    cert: Path
    key: Path
    ca: Path | None

    def server(self) -> ssl.SSLContext:
        """For associations that the node accepts; with `ca`, senders must show a certificate."""
        context = _PatientContext(ssl.PROTOCOL_TLS_SERVER)
        self._load(context)
        if self.ca:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self) -> ssl.SSLContext:
        """For associations that the node opens; the destination's certificate must fit its host."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca)
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise DataError(
                f"TLS certificate or key cannot be used: {error.strerror or error}",
                where=f"{self.cert}, {self.key}",
                todo="name PEM files that belong together",
            ) from None


class _PatientContext(ssl.SSLContext):
    """Leaves the handshake to the connection's own thread: a peer that never ends it must not block the others."""

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **options | {"do_handshake_on_connect": False})
