"""Listens as a DICOM node: scores the photographs that arrive, and sends a report on each.

Takes photographs by C-STORE from the AE titles of --allow. Each gets one row in QUEUE/predictions.csv and one DICOM
structured report, which is sent to --send-to until it has arrived. A photograph is on the disk before its sender gets
the answer; the same command goes on with what waits, also after a crash. QUEUE/refusals.csv counts what was refused.
Ctrl-C and SIGTERM end it. Research use only. Not a medical device.
"""

import argparse
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from dr_pipeline.commands.argument_types import port, positive_int, positive_seconds, whole_number
from dr_pipeline.commands.bundle_arguments import add_bundle_argument
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome

if TYPE_CHECKING:
    from dr_pipeline.clinic.node.admission import Limits
    from dr_pipeline.clinic.node.node import NodeSummary
    from dr_pipeline.clinic.node.tls import TlsFiles

_MIB = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("--aet", required=True, metavar="TITLE", help="AE title of this node, by which it is called")
    parser.add_argument("--port", type=port, required=True, metavar="N", help="port to listen on; 0: a free one")
    parser.add_argument("--host", default="", metavar="ADDRESS", help="interface to listen on (default: all)")
    parser.add_argument(
        "--allow", required=True, metavar="TITLE,…", help="calling AE titles that are accepted; '*' accepts any"
    )
    add_bundle_argument(parser)
    parser.add_argument("--queue", type=Path, required=True, metavar="DIR", help="folder of all that the node writes")
    parser.add_argument("--send-to", required=True, metavar="TITLE@HOST:PORT", help="where reports are sent")
    parser.add_argument("--site", default="", metavar="NAME", help="site of the photographs, as in `score`")
    parser.add_argument(
        "--pseudonym-salt", default="dr-pipeline", metavar="TEXT", help="of the patients in the table, as in `score`"
    )
    parser.add_argument(
        "--keep-photographs", action="store_true", help="leave scored photographs in QUEUE/photographs, for `review`"
    )
    parser.add_argument("--workers", type=positive_int, metavar="N", help="processes that score (default: by cores)")
    parser.add_argument(
        "--time-limit", type=positive_seconds, default=60.0, metavar="SECONDS", help="of one photograph (default: 60)"
    )
    _add_limits(parser)
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="certificate of this node: associations use TLS")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="its private key")
    parser.add_argument("--tls-ca", type=Path, metavar="PEM", help="authorities that certify senders")
    parser.add_argument("--send-tls", action="store_true", help="send reports by TLS too")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """What may wait; where it is full, senders get the status A700 and keep their photographs."""
    group = parser.add_argument_group("limits, at which senders get the DICOM status 'out of resources'")
    group.add_argument("--max-waiting", type=positive_int, default=5000, metavar="N", help="photographs that wait")
    group.add_argument(
        "--max-waiting-mib", type=positive_int, default=20480, metavar="MIB", help="their size (default: 20480)"
    )
    group.add_argument(
        "--reserve-mib", type=whole_number, default=1024, metavar="MIB", help="disk that stays free (default: 1024)"
    )
    group.add_argument("--max-associations", type=positive_int, default=10, metavar="N", help="at a time (default: 10)")
    group.add_argument(
        "--max-association-s", type=positive_seconds, default=3600.0, metavar="SECONDS", help="(default: 3600)"
    )


def run(args: argparse.Namespace) -> Outcome:
    """Runs the node until it is stopped."""
    from dr_pipeline.clinic.node.address import Destination, parse_title
    from dr_pipeline.clinic.node.node import NodeSettings, run_node
    from dr_pipeline.logs import logger
    from dr_pipeline.machine import usable_processes

    title = parse_title(args.aet)
    settings = NodeSettings(
        title=title,
        host=args.host,
        port=args.port,
        senders=tuple(parse_title(sender) for sender in args.allow.split(",")),
        bundle=args.bundle,
        keys=args.require_signature,
        queue=args.queue,
        destination=Destination.parse(args.send_to),
        site=args.site,
        salt=args.pseudonym_salt,
        keep=args.keep_photographs,
        tls=_tls_from(args),
        send_tls=args.send_tls,
        workers=args.workers or usable_processes(),
        time_limit_s=args.time_limit,
        limits=_limits_from(args),
    )
    summary = run_node(
        settings, _stopped_by_signals(), started=lambda port: logger.info("%s listens on port %d", title, port)
    )
    return Outcome(
        wrote=(settings.table, settings.refusals), headline=f"{headline(summary)}. {RESEARCH_USE}", next_command=""
    )


def headline(summary: "NodeSummary") -> str:
    """`12 rows: 11 scored, 1 failed; 0 photographs wait, 0 reports wait, 2 requests were refused`."""
    counts = ", ".join(f"{number} {status}" for status, number in sorted(summary.by_status.items()))
    rows = f"{sum(summary.by_status.values())} rows" + (f": {counts}" if counts else "")
    return (
        f"{rows}; {summary.waiting} photographs wait, {summary.unsent} reports wait, "
        f"{summary.refused} requests were refused"
    )


def _limits_from(args: argparse.Namespace) -> "Limits":
    from dr_pipeline.clinic.node.admission import Limits

    return Limits(
        max_waiting=args.max_waiting,
        max_waiting_bytes=args.max_waiting_mib * _MIB,
        reserve_bytes=args.reserve_mib * _MIB,
        max_associations=args.max_associations,
        max_association_s=args.max_association_s,
    )


def _tls_from(args: argparse.Namespace) -> "TlsFiles | None":
    from dr_pipeline.clinic.node.tls import TlsFiles
    from dr_pipeline.errors import DataError

    if bool(args.tls_cert) != bool(args.tls_key) or ((args.tls_ca or args.send_tls) and not args.tls_cert):
        raise DataError("TLS needs a certificate and its key", todo="name both --tls-cert and --tls-key")
    return TlsFiles(args.tls_cert, args.tls_key, args.tls_ca) if args.tls_cert else None


def _stopped_by_signals() -> threading.Event:
    """Set by SIGTERM and Ctrl-C, of which a second one interrupts at once."""
    stop = threading.Event()

    def handle(_signal: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop
