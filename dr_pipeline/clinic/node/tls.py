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
        context = self._loaded(_PatientContext(ssl.PROTOCOL_TLS_SERVER))
        if self.ca:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self) -> ssl.SSLContext:
        """For associations that the node opens; the destination's certificate must fit its host."""
        context = self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        if self.ca is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context

    def _loaded(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.cert, self.key)
            if self.ca:
                context.load_verify_locations(self.ca)
        except OSError as error:  # ssl.SSLError is one
            raise DataError(
                f"a TLS file cannot be used: {error.strerror or error}",
                where=", ".join(str(path) for path in (self.cert, self.key, self.ca) if path),
                todo="name PEM files, a certificate and a key that belong together",
            ) from None
        return context


class _PatientContext(ssl.SSLContext):
    """Leaves the handshake to the connection's own thread: a peer that never ends it must not block the others."""

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **options | {"do_handshake_on_connect": False})
