"""Serves a bundle over HTTP: a photograph in, its row as JSON out.

POST the bytes of one file to /v1/score; the answer is the row that `score` writes for it. A page at / takes a
photograph by hand; /health, /metrics (Prometheus) and /openapi.json are for machines. No photograph is kept, no name is
logged. Where all places are taken, the answer is 503 with Retry-After. SIGTERM and Ctrl-C end it when all that was
accepted is answered. Research use only. Not a medical device.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dr_pipeline.commands.argument_types import port, positive_int, positive_seconds
from dr_pipeline.commands.bundle_arguments import add_signature_argument
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome

if TYPE_CHECKING:
    import ssl

_MEGABYTE = 1_000_000
_MOST_PLACES = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="the bundle: a folder such as data/release, or a .drbundle file"
    )
    add_signature_argument(parser)
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=port, default=8000, metavar="N", help="to listen on (default: 8000); 0: a free one"
    )
    parser.add_argument("--site", default="", metavar="NAME", help="site of the photographs, as in `score`")
    parser.add_argument(
        "--workers", type=positive_int, metavar="N", help="processes that score (default: one more than cores)"
    )
    parser.add_argument(
        "--time-limit", type=positive_seconds, default=60.0, metavar="SECONDS", help="to score one (default: 60)"
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-megabytes", type=positive_int, default=64, metavar="MB", help="of one photograph (default: 64)"
    )
    limits.add_argument(
        "--timeout", type=positive_seconds, default=30.0, metavar="SECONDS", help="for one to arrive (default: 30)"
    )
    limits.add_argument(
        "--queue",
        type=positive_int,
        metavar="N",
        help=f"photographs at a time that wait or are scored; more get 503 (default: {_MOST_PLACES}, or as many of "
        "--max-megabytes as a quarter of the memory holds)",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds a token that requests must show: Authorization: Bearer …"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="certificate: the server speaks HTTPS")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="its private key")


def run(args: argparse.Namespace) -> Outcome:
    """Runs the server until it is stopped."""
    from dr_pipeline.logs import logger
    from dr_pipeline.machine import usable_memory, usable_processes
    from dr_pipeline.serving.reception import Limits
    from dr_pipeline.serving.server import ServerSettings, read_token, run_server

    # One more than cores: a process that waits for its next photograph leaves no core idle.
    max_bytes, workers = args.max_megabytes * _MEGABYTE, args.workers or usable_processes() + 1
    places = args.queue or min(_MOST_PLACES, max(workers + 1, usable_memory() // 4 // max_bytes))
    settings = ServerSettings(
        bundle=args.bundle,
        keys=args.require_signature,
        host=args.host,
        port=args.port,
        site=args.site,
        workers=workers,
        time_limit_s=args.time_limit,
        limits=Limits(max_bytes, places, args.timeout),
        token=read_token(args.token_file),
        tls=_tls_from(args),
    )

    def started(address: str, bundle_id: str) -> None:
        logger.info("%s serves bundle %s: %d workers, %d places. %s", address, bundle_id, workers, places, RESEARCH_USE)

    rows = run_server(settings, started=started)
    counts = ", ".join(f"{number} {status}" for status, number in rows.items() if number)
    total = f"{sum(rows.values())} photographs" + (f": {counts}" if counts else "")
    return Outcome(wrote=(), headline=f"{total}. {RESEARCH_USE}", next_command="")


def _tls_from(args: argparse.Namespace) -> "ssl.SSLContext | None":
    from dr_pipeline.clinic.node.tls import TlsFiles
    from dr_pipeline.errors import DataError

    if bool(args.tls_cert) != bool(args.tls_key):
        raise DataError("TLS needs a certificate and its key", todo="name both --tls-cert and --tls-key")
    return TlsFiles(args.tls_cert, args.tls_key, None).server() if args.tls_cert else None
